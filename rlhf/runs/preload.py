"""Imported once by the server that jobs are forked from: what every job would import."""

import contextlib
import os

if hasattr(os, "setsid"):
    with contextlib.suppress(OSError):
        os.setsid()  # signals to the terminal's group must not end the server under its jobs

with contextlib.suppress(Exception):  # a job that meets the same fault says it in its own log
    import rlhf.runs.run  # noqa: F401
