"""Imported once by the server that jobs are forked from: what every job would import."""

import contextlib
import gc
import os

from rlhf.imports import quick_imports
from rlhf.rundir.signals import hold

if hasattr(os, "setsid"):
    with contextlib.suppress(OSError):
        os.setsid()  # signals to the terminal's group must not end the server under its jobs

hold()  # Slurm signals every process of a job; each job takes them again when it begins

# a job that meets the same fault says it in its own log
with contextlib.suppress(Exception), quick_imports():
    import rlhf.runs.run  # noqa: F401

gc.disable()  # until `rlhf.runs.common.preload`: nearly all that imports make stays
