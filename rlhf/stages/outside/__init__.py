"""Stages that are entered from outside: a policy or a reward model that is there already is taken
as it is, and becomes the artifact of its stage."""
