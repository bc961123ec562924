"""Loaded by the server that jobs are forked from, as `rlhf.runs.preload` is, but light."""

from rlhf.rundir.signals import hold

hold()
