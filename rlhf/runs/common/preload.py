"""Imported last by the server that jobs are forked from: makes what the jobs that it is told of
have in common."""

import contextlib
import gc

with contextlib.suppress(Exception):  # a job that meets the same fault says it in its own log
    from rlhf.config.validate import validate
    from rlhf.runs.common.made import make
    from rlhf.runs.common.told import told

    make(map(validate, told()))

gc.enable()  # at work again in the jobs; what is here by now is left out (`make`)
