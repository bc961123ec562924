"""A rank above 0: `python -m rlhf.stages.ranks.worker RANK`, its config on stdin. It makes the same
modules as rank 0 from the config and the artifacts, fits with it, and writes nothing.

It ignores signals: rank 0 gets them too, and decides. It ends when its stdin does.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from rlhf.rundir.signals import STOPPING


def main() -> None:
    ignore_signals()
    content = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_leave_with_rank_0, daemon=True).start()

    from rlhf.config.validate import validate
    from rlhf.stages.ranks.launch import place_of, store_of
    from rlhf.stages.ranks.meeting import Meeting

    cfg = validate(content["config"])
    place = place_of(cfg, int(sys.argv[1]))
    sys.exit(serve(cfg, Meeting(store_of(place, content["port"]), place)))


def serve(cfg: Any, meeting: Any) -> int:
    """Trains what rank 0 asks for until it asks for nothing more; the exit code."""
    from rlhf.stages.ranks.failures import failure_of

    try:
        with _silence():
            _train_all(cfg, meeting)
    except Exception as error:
        meeting.report(failure_of(error))
        return 1
    return 0


def _train_all(cfg: Any, meeting: Any) -> None:
    import torch

    from rlhf.config.build import build
    from rlhf.data.records import Loaded
    from rlhf.stages.ranks.member import train_as_member

    if meeting.place.accelerator == "cuda":
        torch.cuda.set_device(meeting.place.local_rank)  # what "cuda" means before there is a group
    threads = torch.get_num_threads()
    torch.set_num_threads(cfg.trainer.threads)
    try:
        loaded = Loaded.of(build(cfg.data))
        for number in count():
            if (task := meeting.task(number)) is None:
                return
            train_as_member(cfg, loaded, task, meeting, number)
    finally:
        torch.set_num_threads(threads)


def ignore_signals() -> None:
    """Those that waited while this process was started are gone, too."""
    numbers = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


@contextmanager
def _silence() -> Iterator[None]:
    """What there is to be told, rank 0 tells."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _leave_with_rank_0() -> None:
    """Rank 0 closes the pipe, or the system does for one that was killed."""
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
