"""What the stages of one run share: config, data, tokenizer, artifact store, and how a stage is
trained and tracked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pydantic import BaseModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.config.build import build
from rlhf.config.naming import named, run_hash
from rlhf.config.schema import Config
from rlhf.config.stages import ASIDE_KEYS, STAGES
from rlhf.data.records import Source, TaskData
from rlhf.digests import digest
from rlhf.models.load import load_causal_lm
from rlhf.modules.base import StageModule
from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import flatten, read_jsonl, write_text
from rlhf.rundir.status import recorded_end, write_status
from rlhf.stages.artifacts import ArtifactStore
from rlhf.stages.fingerprint import fingerprint
from rlhf.stages.fit import TrainerSettings, fit
from rlhf.stages.manifest import data_parts, manifest
from rlhf.tracking.base import Dataset, Status, Tracker

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Workshop:
    cfg: Config
    source: Source
    data: TaskData
    run_directory: Path

    @cached_property
    def model(self) -> Any:
        return build(self.cfg.model)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        tokenizer: PreTrainedTokenizerBase = self.model.tokenizer(
            lambda: self.source.tokenizer(self.data)
        )
        return tokenizer

    @cached_property
    def data_parts(self) -> dict[str, dict[str, Any]]:
        return data_parts(self.data)

    def datasets(self, *parts: str) -> list[Dataset]:
        """What a stage learns from, for the tracker: those of `demonstrations`, `preferences`
        and `prompts` that there are."""
        kind, source = (
            self.cfg.data.name,
            self.cfg.data.model_dump(by_alias=True, mode="json"),
        )
        found = {name: self.data_parts[name] for name in parts if name in self.data_parts}
        return [
            Dataset(name=f"{kind} {name}", digest=part["sha256"], rows=part["rows"], source=source)
            for name, part in found.items()
        ]

    @cached_property
    def store(self) -> ArtifactStore:
        return ArtifactStore(Path(self.cfg.paths.artifacts))

    @cached_property
    def trainer(self) -> TrainerSettings:
        return TrainerSettings(**self.cfg.trainer.model_dump())

    @property
    def device(self) -> str:
        return "cuda" if self.trainer.accelerator == "cuda" else "cpu"

    @cached_property
    def tokenizer_content(self) -> str:
        return digest(self.tokenizer.backend_tokenizer.to_str())  # type: ignore[attr-defined]

    def load_policy(self, path: Path) -> PreTrainedModel:
        """A causal LM that a stage of ours saved; its own code runs only where the model's
        config allows it."""
        return load_causal_lm(
            path, trust_remote_code=getattr(self.cfg.model, "trust_remote_code", False)
        )

    def tell_cut(self, stage: str, cut: int, rows: int, *, dropped: int) -> None:
        """Says what `max_length` did to the training rows."""
        if cut or dropped:
            log.warning(
                "%s: of %d rows %d are cut at %s.max_length and %d are left out (nothing to learn"
                " is left of them)",
                stage,
                rows,
                cut,
                stage,
                dropped,
            )

    def callbacks(self) -> list[pl.Callback]:
        return [build(piece) for piece in self.cfg.callbacks.values()]

    def optimizer(self, piece: BaseModel) -> Callable[[Any], torch.optim.Optimizer]:
        return lambda params: build(piece, params=params)

    def deciding(self, name: str, *, without: Collection[str] = ()) -> dict[str, Any]:
        """A section of the config, pieces by name, as far as it has a part in what comes out."""
        plain = getattr(self.cfg, name).model_dump(by_alias=True, mode="json")
        aside = {*ASIDE_KEYS, *(f"{name}.{key}" for key in without)}
        kept = {key: value for key, value in plain.items() if f"{name}.{key}" not in aside}
        section: dict[str, Any] = named(kept)
        return section

    def fingerprint(self, stage: str, **parts: Any) -> str:
        return fingerprint(
            stage, settings=self.deciding(stage), trainer=self.cfg.trainer.model_dump(), **parts
        )

    def fit(
        self,
        module: StageModule,
        batches: Iterable[Any],
        *,
        directory: Path,
        grad_clip: float | None,
        checkpoint_every: int,
        tracker: Tracker,
        accumulate: int = 1,
    ) -> None:
        fit(
            module,
            batches,
            directory=directory,
            settings=self.trainer,
            grad_clip=grad_clip,
            checkpoint_every=checkpoint_every,
            tracker=tracker,
            status_in=self.run_directory,
            callbacks=self.callbacks(),
            accumulate=accumulate,
        )

    def artifact(
        self,
        stage: str,
        identity: str,
        parents: dict[str, str],
        make: Callable[[Path, Tracker], dict[str, Any]],
    ) -> Path:
        """The stage's artifact; made and tracked as a run of its own if nobody has made it yet.
        `make(work, tracker)` gives its metrics."""

        def made(work: Path) -> dict[str, Any]:
            settings = self.deciding(stage)
            plain = {**self.cfg.plain(), "stage": stage}
            write_text(work / "config.yaml", to_yaml(plain))
            tracker: Tracker = build(self.cfg.tracking)
            tags = {
                "stage": stage,
                "study": self.cfg.study,
                "fingerprint": identity,
                **{f"parent.{k}": v for k, v in parents.items()},
            }
            datasets = self.datasets(*STAGES[stage].data)
            tracker.begin(
                work,
                name=f"{stage} {identity[:8]}",
                params=flatten(settings),
                tags=tags,
                datasets=datasets,
            )
            with finishing(tracker), recorded_end(work):
                metrics = make(work, tracker)
            return manifest(
                kind="artifact",
                stage=stage,
                hash=identity,
                name=f"{stage}-{identity}",
                seed=settings["seed"],
                fingerprints={"data": self.data.fingerprint, **parents},
                data=self.data_parts,
                config=plain,
                config_hash=run_hash(plain),
                metrics=metrics,
            )

        def waiting() -> None:
            write_status(
                self.run_directory,
                state="running",
                stage=f"waiting for {stage}",
                iteration=0,
                iterations=0,
            )

        return self.store.get(stage, identity, made, waiting=waiting)


@contextmanager
def finishing(tracker: Tracker) -> Iterator[None]:
    """Tells the tracker how it ended: FINISHED, KILLED by a signal, or FAILED."""
    status: Status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except (Stopped, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        if warning := tracker.finish(status):
            log.warning(warning)


def to_yaml(plain: dict[str, Any]) -> str:
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(plain))


def last_record(directory: Path) -> dict[str, Any]:
    """The last line of metrics.jsonl."""
    return read_jsonl(directory / "metrics.jsonl")[-1]
