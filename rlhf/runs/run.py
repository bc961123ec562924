"""One run, whole: its stages, its directory, its tracker and how it ended."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from rlhf.config.build import build
from rlhf.config.naming import is_finished, run_hash
from rlhf.config.properties import needs_reward_model
from rlhf.config.schema import Config
from rlhf.config.stages import STAGES
from rlhf.config.validate import cautions
from rlhf.data.records import Source
from rlhf.rundir.errors import RunFailed, Stopped
from rlhf.rundir.files import write_json, write_text
from rlhf.rundir.lock import owned
from rlhf.rundir.read import read_json
from rlhf.rundir.signals import handled
from rlhf.rundir.status import recorded_end, write_status
from rlhf.runs.summary import (
    Summary,
    identity,
    run_label,
    run_tags,
    summarise_artifact,
    summarise_ppo,
    tracked_params,
)
from rlhf.stages import best_of_n
from rlhf.stages.context import Workshop, finishing, to_yaml
from rlhf.stages.manifest import manifest
from rlhf.stages.ppo import train_ppo
from rlhf.stages.reward_model import reward_model_artifact
from rlhf.stages.sft import sft_artifact
from rlhf.tracking.base import Tracker

log = logging.getLogger(__name__)


def run(cfg: Config, *, plain: Mapping[str, Any], directory: Path) -> Summary:
    """Brings `directory` to its end, from wherever it is, and gives its summary.

    Args:
        cfg: the validated config.
        plain: the same as resolved plain YAML, to be written down.
        directory: the run's own; a finished one is left as it is.

    Raises:
        DataError: rows are wrong or missing; nothing was trained.
        Stopped: a signal came; the state is saved.
        RunFailed: the directory belongs to another run, or another process works in it.
    """
    source: Source = build(cfg.data)
    shop = Workshop(cfg=cfg, source=source, data=source.load(), run_directory=directory)
    with owned(directory), _stoppable(directory), _threads(cfg.trainer.threads):
        _check_identity(shop, plain, directory)
        if is_finished(directory):
            return read_json(directory / "summary.json")
        with recorded_end(directory):
            _begin(shop, plain, directory)
            for caution in cautions(cfg):
                log.warning("%s", caution)
            return _stages(shop, plain, directory)


def _stages(shop: Workshop, plain: Mapping[str, Any], directory: Path) -> Summary:
    """SFT, then the reward model where somebody needs it, then PPO; as far as `stage` says."""
    cfg = shop.cfg
    parents: dict[str, str] = {}
    sft = sft_artifact(shop)
    parents["sft"] = sft.name
    if cfg.stage == "sft":
        return _written(summarise_artifact(shop, sft, plain), directory)
    reward_model: Path | None = None
    if cfg.stage == "reward_model" or needs_reward_model(
        cfg.scorer, cfg.ppo, cfg.algorithm, cfg.advantage
    ):
        reward_model = reward_model_artifact(shop, sft)
        parents["reward_model"] = reward_model.name
    if cfg.stage == "reward_model":
        assert reward_model is not None
        return _written(summarise_artifact(shop, reward_model, plain), directory)
    _check_parents(directory, parents)
    _write_manifest(shop, plain, directory, parents)
    if cfg.best_of_n.samples:
        write_status(directory, state="running", stage="best_of_n", iteration=0, iterations=0)
        write_json(directory / best_of_n.FILE, best_of_n.best_of_n_curve(shop, sft, reward_model))
    write_status(
        directory, state="running", stage="ppo", iteration=0, iterations=cfg.ppo.iterations
    )
    tracker: Tracker = build(cfg.tracking)
    params, datasets = tracked_params(plain), shop.datasets(*STAGES["ppo"].data)
    tracker.begin(
        directory,
        name=run_label(shop),
        params=params,
        tags=run_tags(shop, parents),
        datasets=datasets,
    )
    with finishing(tracker), recorded_end(directory):
        results = train_ppo(shop, sft, reward_model, directory, tracker)
        return _written(summarise_ppo(shop, plain, directory, parents, results), directory)


def _written(summary: Summary, directory: Path) -> Summary:
    write_json(directory / "summary.json", summary)
    return summary


def _check_identity(shop: Workshop, plain: Mapping[str, Any], directory: Path) -> None:
    """A directory that was begun, or finished, with other data or another config is refused."""
    if not (directory / "manifest.json").exists():
        return
    found, now = read_json(directory / "manifest.json"), run_hash(dict(plain))
    if found["hash"] != now:
        raise RunFailed(
            f"{directory} belongs to another config (hash {found['hash']}, now {now}): choose"
            " another directory"
        )
    if found["fingerprints"]["data"] != shop.data.fingerprint:
        raise RunFailed(
            f"the data changed since {directory} was made: move it away to start anew, or restore"
            " the data"
        )


def _begin(shop: Workshop, plain: Mapping[str, Any], directory: Path) -> None:
    write_text(directory / "config.yaml", to_yaml(dict(plain)))
    if not (directory / "manifest.json").exists():
        _write_manifest(shop, plain, directory, {})


def _write_manifest(
    shop: Workshop, plain: Mapping[str, Any], directory: Path, parents: Mapping[str, str]
) -> None:
    names = identity(shop, plain)
    fingerprints = {"data": shop.data.fingerprint, **parents}
    details = {
        "hash": names["config_hash"],
        "name": names["name"],
        "study": names["study"],
        "sweep": names["sweep"],
    }
    kept = {"fingerprints": fingerprints, "data": shop.data_parts, "config": dict(plain)}
    write_json(
        directory / "manifest.json",
        manifest(kind="run", stage=shop.cfg.stage, seed=shop.cfg.seed, **details, **kept),
    )


def _check_parents(directory: Path, parents: Mapping[str, str]) -> None:
    """A resumed run must go on from the very SFT policy and reward model that it began with."""
    begun = read_json(directory / "manifest.json")["fingerprints"]
    for stage, fingerprint in parents.items():
        if stage in begun and begun[stage] != fingerprint:
            raise RunFailed(
                f"{directory} began from {stage} {begun[stage]}, now it would be {fingerprint}:"
                " move it away to start anew"
            )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """torch's threads while a run lasts: sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _stoppable(directory: Path) -> Iterator[None]:
    """Outside of training loops (which have a gentler way) SIGTERM and Ctrl-C end the run at
    once; all that was reached is on disk."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(130 if number == signal.SIGINT else 143, str(directory))

    with handled(("SIGINT", "SIGTERM"), stop):
        yield
