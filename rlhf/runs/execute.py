"""One run in this process, and how it ended, in words and as an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.config.naming import run_directory
from rlhf.config.schema import Config
from rlhf.config.validate import ConfigError, validate
from rlhf.data.records import DataError, Loaded
from rlhf.rundir.disk.space import sentence as refusal
from rlhf.rundir.errors import ModelError, RunFailed, Stopped

if TYPE_CHECKING:
    from omegaconf import DictConfig


REFUSED = {
    ConfigError: "the config is wrong:",
    DataError: "the data is wrong:",
    ModelError: "the model cannot be used:",
}


def run(config: Config | DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """Runs one config as `rlhf` does, in the directory that its values name, and returns the
    summary.

    A finished run is not repeated: its summary is returned. One that was cut goes on.

    Raises:
        ConfigError: the config is wrong.
        DataError: the data is.
        ModelError: the model cannot be used with it.
    """
    from rlhf.runs import run as pipeline

    cfg = config if isinstance(config, Config) else validate(config)
    return pipeline.run(cfg, directory=directory_of(cfg))


def directory_of(cfg: Config) -> Path:
    return run_directory(Path(cfg.paths.run_dir), cfg.rerun)


def execute(
    cfg: Config, *, directory: Path, log: Path | None = None, loaded: Loaded | None = None
) -> int:
    """The run's exit code: 0, 1 failed, 2 config, data or model are wrong, 130 or 143 stopped with
    its state saved.

    Args:
        log: where a traceback goes; None: to stderr, which is the log.
        loaded: the config's data, where it was read before.
    """
    try:
        from rlhf.runs.run import run as pipeline

        pipeline(cfg, directory=directory, loaded=loaded)
        return 0
    except (ConfigError, DataError, ModelError) as error:
        heading = next(words for kind, words in REFUSED.items() if isinstance(error, kind))
        print("\n".join([heading, *(f"  {fault}" for fault in error.faults)]), file=sys.stderr)
        return 2
    except Stopped as error:
        print(str(error), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from here ({directory})", file=sys.stderr)
        return 130
    except RunFailed as error:
        print(str(error), file=sys.stderr)
        return 1
    except Exception as error:
        print(refusal(error) or _told(error, log), file=sys.stderr)
        return 1


def _told(error: Exception, log: Path | None) -> str:
    """The error in a sentence, its traceback in the log; all of it where that takes nothing."""
    trace = traceback.format_exc()
    if log is None:
        return trace
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(trace)
    except OSError as refused:
        return f"{trace}({refusal(refused, log) or refused})"
    first = next(iter(str(error).splitlines()), "")
    return f"the run failed: {type(error).__name__}: {first}\n  what happened, step by step: {log}"
