"""One run in this process, and how it ended, in words and as an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.config.naming import run_directory
from rlhf.config.pieces.tracking import Service, Wandb, mlflow_of, trackers_of
from rlhf.config.schema import Config
from rlhf.config.validate import ConfigError, validate
from rlhf.data.records import DataError, Loaded
from rlhf.imports import quick_imports
from rlhf.ranks.place import Started
from rlhf.rundir.disk.space import sentence
from rlhf.rundir.errors import ModelError, RunFailed, Stopped
from rlhf.rundir.read import read_json
from rlhf.rundir.secrets.redact import redact_message
from rlhf.rundir.status import is_finished
from rlhf.rundir.streams import spare
from rlhf.runs.machine.cluster import several, started
from rlhf.tracking.services.wandb import login_fault
from rlhf.tracking.store import refusal

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
        RunFailed: of a rank above 0: rank 0 failed.
    """
    cfg = config if isinstance(config, Config) else validate(config)
    place = _place(cfg)
    directory = directory_of(cfg)
    if place is not None and place.rank:
        if code := _follow(cfg, place):
            raise RunFailed(f"rank 0 ended with exit code {code}")
        return read_json(directory / "summary.json")
    from rlhf.runs import run as pipeline

    with leading(cfg) as led:
        if faults := tracking_faults([cfg]):
            raise ConfigError(faults)
        summary = pipeline.run(cfg, directory=directory)
        led.code = 0
    return summary


def _place(cfg: Config) -> Started | None:
    """This process's place among those that train together, where they were started from outside.

    Raises:
        ConfigError: it is one of several that would do the same, or of others than are asked for.
    """
    if reason := several(os.environ, cfg.trainer):
        raise ConfigError([reason])
    return started(os.environ, cfg.trainer)


@dataclass
class Led:
    """`code`: the exit code of all ranks."""

    code: int = 1


@contextmanager
def leading(cfg: Config) -> Iterator[Led]:
    """Rank 0's command, where the others were started from outside: they wait for what it asks, and
    end when this is left, with its code."""
    led = Led()
    place = started(os.environ, cfg.trainer)
    if place is None:
        yield led
        return
    from rlhf.stages.ranks import outside

    with outside.leading(cfg, place, lambda: led.code):
        yield led


def _follow(cfg: Config, place: Started) -> int:
    from rlhf.stages.ranks.outside import follow

    return follow(cfg, place)


def tracking_faults(configs: Iterable[Config]) -> list[str]:
    """Why runs that are not finished could not be tracked where their configs say. Asks files,
    no server."""
    wanted = [cfg.tracking for cfg in configs if not is_finished(directory_of(cfg))]
    stores = {(piece.uri, piece.experiment): None for piece in filter(None, map(mlflow_of, wanted))}
    faults = [f"tracking: {reason}" for store in stores if (reason := refusal(*store))]
    for part in (part for tracking in wanted for part in trackers_of(tracking).values()):
        if isinstance(part, Service) and find_spec(part.package) is None:
            faults.append(
                f"tracking={part.name} needs a package that is not there: pip install"
                f" 'rlhf[{part.package}]'"
            )
        elif isinstance(part, Wandb) and (reason := login_fault(part.mode)):
            faults.append(reason)
    return list(dict.fromkeys(faults))


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
    if log is not None:
        spare(log)
    try:
        place = _place(cfg)
        if place is not None and place.rank:
            return _follow(cfg, place)
        with quick_imports():
            from rlhf.runs.run import run as pipeline

        with leading(cfg) as led:
            pipeline(cfg, directory=directory, loaded=loaded)
            led.code = 0
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
        print(sentence(error) or _told(error, log), file=sys.stderr)
        return 1


def _told(error: Exception, log: Path | None) -> str:
    """The error in a sentence, its traceback in the log; all of it where that takes nothing."""
    trace = redact_message(traceback.format_exc())
    if log is None:
        return trace
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(trace)
    except OSError as refused:
        return f"{trace}({sentence(refused, log) or refused})"
    first = redact_message(next(iter(str(error).splitlines()), ""))
    return f"the run failed: {type(error).__name__}: {first}\n  what happened, step by step: {log}"
