"""Before the jobs of a sweep are started, once for all of them: the room that the machine has (how
many at a time, on which GPU, for how long), and what is made ready. Imports neither torch nor the
pipeline."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Protocol

from rlhf.config.pieces.tracking import mlflow_of, trackers_of
from rlhf.config.schema import Config
from rlhf.rundir.secrets.redact import redact_message
from rlhf.tracking.store import prepare_store, quiet

THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
PATIENCE = 5.0  # seconds that the first job waits for a store
WAITING = "their metrics wait on disk until it is there"


def limit_threads(threads: int) -> None:
    """Tells libraries that ask when they are loaded: call before torch is imported."""
    os.environ.update(dict.fromkeys(THREAD_LIMITS, str(threads)))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # its thread must not be there when jobs are forked
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def preloads(configs: Sequence[Config]) -> list[str]:
    """Modules that every job needs: the pipeline, those of the pieces that the configs name, and
    last the one that makes what the jobs have in common."""
    pieces = [(cfg.data, cfg.model, *trackers_of(cfg.tracking).values()) for cfg in configs]
    paths = {piece.class_path for group in pieces for piece in group}
    modules = ["rlhf.runs.preload", *sorted(path.rpartition(".")[0] for path in paths)]
    if tracked := [*filter(None, (mlflow_of(cfg.tracking) for cfg in configs))]:
        quiet()  # by the environment, which the server and the jobs inherit
        # with what its client imports when it first writes to a store of that kind
        modules += ["mlflow", *{_opened_by(piece.uri) for piece in tracked}]
    return [*modules, "rlhf.runs.common.preload"]


def _opened_by(uri: str) -> str:
    """The module of MLflow that writes to a store of this kind. Its client imports it late, at the
    first call."""
    database = re.match(r"(sqlite|postgresql|mysql|mssql)\b", uri)
    return f"mlflow.store.tracking.{'sqlalchemy_store' if database else 'rest_store'}"


class Worker(Protocol):
    """A thread, or a process."""

    def start(self) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def is_alive(self) -> bool: ...


THREAD = partial(Thread, daemon=True)


def prepare_tracking(
    configs: Sequence[Config],
    *,
    patience: float = PATIENCE,
    worker: Callable[..., Worker] = THREAD,
) -> None:
    """Makes the tracking databases, once and before any job, each by a `worker` of its own. One
    that is not ready after `patience` seconds, all together, is made beside the jobs; one that does
    not answer stops no sweep."""
    tracked = filter(None, (mlflow_of(cfg.tracking) for cfg in configs))
    stores = sorted({(store.uri, store.experiment) for store in tracked})
    makers = [worker(target=_prepare, args=store) for store in stores]
    for maker in makers:
        maker.start()
    deadline = time.monotonic() + patience
    for maker, (uri, _) in zip(makers, stores, strict=True):
        maker.join(max(0.0, deadline - time.monotonic()))
        if maker.is_alive():
            say = (
                f"tracking: {uri} is not ready after {patience:g} s; the jobs start, and {WAITING}"
            )
            print(redact_message(say), file=sys.stderr)


def _prepare(uri: str, experiment: str) -> None:
    try:
        prepare_store(uri, experiment)
    except Exception as error:
        say = f"tracking: {uri} does not answer ({error}); runs go on, and {WAITING}"
        print(redact_message(say), file=sys.stderr)


def at_once(
    asked: int | None,
    *,
    cores: int,
    threads: int,
    gpus: int,
    devices: int = 1,
    room: int | None = None,
) -> int:
    """Jobs at a time: what was asked for; else as many as the GPUs are enough for, `devices` for
    each; else as many as the cores are enough for, one for each thread of a job's `devices`
    processes, and no more than the memory has room for."""
    if asked or gpus:
        return asked or max(1, gpus // devices)
    most = cores // (threads * devices)
    return max(1, most if room is None else min(most, room))


def most(configs: Iterable[Config]) -> dict[str, int]:
    """The threads of a process, and the devices, of the job that has most of each."""
    trainers = [cfg.trainer for cfg in configs]
    return {
        "threads": max(trainer.threads for trainer in trainers),
        "devices": max(trainer.devices for trainer in trainers),
    }


def visible_gpus(environment: Mapping[str, str], devices: Path = Path("/dev")) -> tuple[str, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES may name: the user's own list where it is set, else one
    number for each NVIDIA device file.

    Read from files, so that the parent of the jobs never opens a GPU.
    """
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        listed = [part.strip() for part in given.split(",")]
        return tuple(
            listed[: listed.index("-1")] if "-1" in listed else [part for part in listed if part]
        )
    return tuple(str(index) for index, _ in enumerate(devices.glob("nvidia[0-9]*")))


def least_used(pool: Sequence[str], in_use: Iterable[str], count: int = 1) -> tuple[str, ...]:
    """The first `count` GPUs with the fewest jobs, in the pool's order; none where there is no
    GPU."""
    jobs = Counter(in_use)
    chosen = sorted(pool, key=jobs.__getitem__)[:count]
    return tuple(gpu for gpu in pool if gpu in chosen)
