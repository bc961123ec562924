"""The steps before the jobs of a sweep are started, once for all of them. Imports neither torch nor
the pipeline."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rlhf.config.pieces.tracking import MLflowTracker
from rlhf.config.schema import Config
from rlhf.rundir.redact import redact_text

THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def limit_threads(threads: int) -> None:
    """Tells libraries that ask when they are loaded: call before torch is imported."""
    os.environ.update(dict.fromkeys(THREAD_LIMITS, str(threads)))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # its thread must not be there when jobs are forked
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def preloads(configs: Sequence[Config]) -> list[str]:
    """Modules that every job needs: the pipeline, and those of the pieces that the configs name."""
    paths = {piece.class_path for cfg in configs for piece in (cfg.data, cfg.model, cfg.tracking)}
    modules = ["rlhf.runs.preload", *sorted(path.rpartition(".")[0] for path in paths)]
    if any(isinstance(cfg.tracking, MLflowTracker) for cfg in configs):
        from rlhf.tracking.store import quiet

        quiet()  # by the environment, which the server and the jobs inherit
        modules.append("mlflow")
    return modules


def prepare_tracking(configs: Sequence[Config]) -> None:
    """Makes the tracking databases, once and before any job. A store that does not answer stops no
    sweep."""
    stores = {
        (cfg.tracking.uri, cfg.tracking.experiment)
        for cfg in configs
        if isinstance(cfg.tracking, MLflowTracker)
    }
    for uri, experiment in sorted(stores):
        from rlhf.tracking.store import prepare_store

        try:
            prepare_store(uri, experiment)
        except Exception as error:
            print(
                redact_text(
                    f"tracking: {uri} does not answer ({error}); runs go on, their metrics wait on"
                    " disk"
                ),
                file=sys.stderr,
            )
