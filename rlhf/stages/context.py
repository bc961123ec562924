"""The things that the stages of one run share: config, data, tokenizer, artifact store, trainer."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import PreTrainedModel

from rlhf.at_once import AtOnce
from rlhf.callbacks.points import Points, WritePoint
from rlhf.config.build import build
from rlhf.config.hints.usual import unusual
from rlhf.config.naming import deciding, run_hash
from rlhf.config.properties import learns_from
from rlhf.config.schema import Training
from rlhf.config.stages import CODE_VERSION, Stage
from rlhf.data.report.values import Report
from rlhf.digests import digest, one_spelling
from rlhf.models.adapters.scalar import ScalarView
from rlhf.models.adapters.views import PolicyView
from rlhf.models.files.adapter import Base
from rlhf.models.networks import Networks, Policy, write_beside
from rlhf.models.piece import ModelPiece
from rlhf.models.policy import policy_of
from rlhf.models.scalar import Scalar, ScalarModel
from rlhf.modules.base import StageModule
from rlhf.rollout.engines.base import Engine, Stops
from rlhf.rollout.engines.table import ENGINES, engine_of
from rlhf.rollout.probe import probe
from rlhf.rundir.errors import NonFinite, Stopped
from rlhf.rundir.files import flatten
from rlhf.rundir.status import is_finished, recorded_end
from rlhf.stages.artifacts import ArtifactStore
from rlhf.stages.fit import fit
from rlhf.stages.inputs import Inputs
from rlhf.stages.provenance import legs
from rlhf.stages.ranks.team import Team
from rlhf.tracking.base import Status, Tracker

log = logging.getLogger(__name__)

STOPPING = 8  # every so many ids of text one that ends a response of the probe
P = TypeVar("P", bound=Policy)
Parents = Mapping[str, Path]  # the artifacts of the stages that a stage stands on, by stage


@dataclass(frozen=True, kw_only=True)
class StageContext(Inputs):
    """A run's config, data and directory, and what the stages make of them."""

    run_directory: Path
    probed: list[str] = field(default_factory=list)  # the model type, once it was asked
    rows: dict[str, Any] = field(default_factory=dict)  # by stage, once they were encoded
    reports: list[Report] = field(default_factory=list)  # on the data, where it was made before
    # the further reward models of an ensemble, once they are there
    members: list[Path] = field(default_factory=list)
    annotators: list[Any] = field(default_factory=list)  # the run's, once it was built
    team: Team = field(default_factory=Team)  # the ranks that train
    # of a path's run: what writes its points
    write_point: list[WritePoint] = field(default_factory=list)

    @cached_property
    def store(self) -> ArtifactStore:
        store = ArtifactStore(Path(self.cfg.paths.artifacts), self.run_directory)
        store.keep_named(self.plain)
        return store

    @property
    def device(self) -> str:
        return "cuda" if self.cfg.trainer.accelerator == "cuda" else "cpu"

    def networks(self) -> Networks:
        """Loads what the run's stages saved; a model's own code runs only where its config allows
        it."""
        model, adapter = self.cfg.model, self.cfg.adapter
        return Networks(
            tokenizer=self.tokenizer,
            views=adapter.is_used,
            share=adapter.shares,
            dtype=getattr(model, "dtype", "float32"),
            attention=getattr(model, "attention", "auto"),
            trust_remote_code=getattr(model, "trust_remote_code", False),
        )

    def save_policy(self, policy: Policy, directory: Path, base: Base | None = None) -> None:
        """Writes a directory that transformers loads, with the run's template and all ids that end
        a response; of an adapter one for PEFT, which names the network `base`."""
        policy = self.ended(policy)
        if isinstance(policy, PolicyView):
            assert base is not None
            write_beside(policy, self.written_tokenizer, directory, base=base)
        else:
            self.model.save(policy, self.written_tokenizer, directory)

    def save_reward_model(self, model: Scalar, directory: Path, base: Base | None = None) -> None:
        """The same of a reward model."""
        if isinstance(model, ScalarView):
            assert base is not None
            write_beside(model, self.written_tokenizer, directory, base=base)
        elif isinstance(model, ScalarModel):
            model.save(directory, self.written_tokenizer, stop_ids=self.stops.ids)

    def ended(self, policy: P) -> P:
        """The policy, whose generation_config says all ids that end a response."""
        if policy.generation_config is not None:
            first, *others = self.stops.ids
            policy.generation_config.eos_token_id = [first, *others] if others else first
        return policy

    def initial_policy(
        self, piece: ModelPiece | None = None, *, frozen: bool = False
    ) -> PreTrainedModel:
        """The causal LM before any training, the policy's or another `piece`'s. Probed where the
        run goes on to draw its responses: what cannot be sampled is not trained first.

        Args:
            frozen: nothing trains its own weights, which may have 16 bits then.
        """
        model = (piece or self.start).causal_lm(self.tokenizer)
        policy = policy_of(model.requires_grad_(False) if frozen else model, self.tokenizer)
        if self.cfg.stage != "sft":
            self.engine(policy)
        return policy

    def engine(self, policy: Policy) -> Engine:
        """The engine that draws the policy's responses. The first policy of a run is probed.

        Raises:
            ModelError: its responses are drawn with other log-probabilities than training computes.
        """
        drawn = self.cfg.generation
        at_once = AtOnce(rows=drawn.micro_batch_size, tokens=drawn.micro_batch_tokens)
        own = (self.rendering.pad_id, self.tokenizer, at_once)
        engine = engine_of(drawn)(policy, self.stops, *own)
        if not self.probed:
            special = torch.tensor(self.tokenizer.all_special_ids)
            ids = torch.tensor(sorted(self.tokenizer.get_vocab().values()))
            text = ids[~torch.isin(ids, special)]
            text = text if len(text) else ids
            # more ids than those of the run end a response: rows leave the batch while others go on
            stops = Stops(ids=(*self.stops.ids, *text[::STOPPING].tolist()))
            other = ENGINES["hf"](policy, stops, *own) if drawn.engine != "hf" else None
            probe(replace(engine, stops=stops), policy, text, other)
            self.probed.append(policy.config.model_type)
        return engine

    def deciding(self, name: str, *, without: Collection[str] = ()) -> Any:
        """A section of the config, pieces by name, as far as it has a part in what comes out."""
        section = deciding(name, self.plain[name])
        return {k: section[k] for k in section if k not in without} if without else section

    def fingerprint(self, stage: str, **parts: Any) -> str:
        """16 hex digits: sha256 over everything that decides a stage's result. `parts`: plain
        values, beside the code's version, the stage's own settings and the trainer's."""
        everything = {
            "stage": stage,
            "code": CODE_VERSION,
            "settings": self.deciding(stage),
            "trainer": self.deciding("trainer"),
            **parts,
        }
        return digest(one_spelling(everything))[:16]

    def fit(
        self,
        module: StageModule,
        batches: Iterable[Any],
        training: Training,
        *,
        directory: Path,
        tracker: Tracker,
    ) -> None:
        """Trains a stage's module in a directory, as the stage's settings and the run's trainer and
        callbacks say.

        Raises:
            NonFinite: a number overflowed; names the settings that are far from usual.
        """
        try:
            with self.team.together() as ranks:
                fit(
                    module,
                    batches,
                    directory=directory,
                    settings=self.cfg.trainer,
                    grad_clip=training.grad_clip,
                    checkpoint_every=training.checkpoint_every,
                    tracker=tracker,
                    status_in=self.run_directory,
                    callbacks=[
                        *(build(piece) for piece in self.cfg.callbacks.values()),
                        *(Points(write) for write in self.write_point),
                    ],
                    began=partial(
                        legs.begin,
                        directory,
                        config_hash=run_hash(self.plain),
                        unit=module.unit,
                        devices=ranks.size,
                    ),
                    ranks=ranks,
                )
        except NonFinite as error:
            if far := unusual(flatten(self.plain)):
                raise NonFinite(f"{error}. Far from usual: {', '.join(far)}") from error
            raise
        legs.check_records(directory, module.iteration)

    @contextmanager
    def tracked(self, directory: Path, stage: Stage, **shown: Any) -> Iterator[Tracker]:
        """A tracker that gets to know how it ended: FINISHED, KILLED by a signal, or FAILED; so
        does the directory's status. A run that has its summary is FINISHED, whatever comes then.
        `shown`: name, params and tags."""
        tracker: Tracker = build(self.cfg.tracking)
        own = learns_from(self.cfg.algorithm) if stage.is_run else ()
        status: Status = "FAILED"
        try:
            tracker.begin(directory, datasets=self.datasets(*stage.data, *own), **shown)
            with recorded_end(directory):
                yield tracker
            status = "FINISHED"
        except (Stopped, KeyboardInterrupt):
            status = "KILLED"
            raise
        finally:
            if is_finished(directory):
                status = "FINISHED"
            if warning := tracker.finish(status):
                log.warning(warning)
