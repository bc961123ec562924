"""Which of the errors of several ranks is the one to tell: where one fails, the others lose their
connection to it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from torch.distributed import DistError

from rlhf.rundir.errors import ModelError, NonFinite, RunFailed

# how torch's backends tell of another rank's end, where they raise a plain RuntimeError
SIGNS = ("gloo", "nccl", "connection closed", "connection reset", "socket", "broken pipe")
TOLD = (RunFailed, NonFinite, ModelError)  # their words are for the user; of others a trace helps


def is_consequence(error: BaseException) -> bool:
    """True where another rank's end, or its silence, is what was met."""
    if isinstance(error, DistError):
        return True
    lost = isinstance(error, ConnectionError) or (
        type(error) is RuntimeError and any(sign in str(error).lower() for sign in SIGNS)
    )
    return lost and _of_torch(error.__traceback__)


def _of_torch(trace: TracebackType | None) -> bool:
    """Whether an error comes from torch; a scorer's own may have lost a connection, too."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(trace)]
    return bool(modules) and modules[-1].partition(".")[0] == "torch"


def failure_of(error: BaseException) -> dict[str, Any]:
    """What a rank reports of its error."""
    first = next(iter(str(error).splitlines()), "")
    told = isinstance(error, TOLD)
    return {
        "words": str(error) if told else f"{type(error).__name__}: {first}",
        # without its last lines, which are the words
        "trace": "" if told else "Traceback:\n" + "".join(traceback.format_tb(error.__traceback__)),
        "consequence": is_consequence(error),
    }


def sentence(failure: Mapping[str, Any], rank: int) -> str:
    return f"rank {rank}: {failure['words']}"
