"""Talking to a policy, with its reference beside it: what each says, what it is worth, and how far
the one is from the other."""
