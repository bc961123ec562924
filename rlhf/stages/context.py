"""The things that the stages of one run share: config, data, tokenizer, artifact store, trainer."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from rlhf.config.build import build
from rlhf.config.hints.usual import unusual
from rlhf.config.naming import deciding, run_hash
from rlhf.config.schema import Config, Training
from rlhf.config.stages import Stage
from rlhf.data.conversations import Turns
from rlhf.data.lengths import FittedPrompts, LongPrompts, fit_prompts, quote
from rlhf.data.records import DataError, Source, TaskData
from rlhf.data.rendering.choice import AUTO, choose
from rlhf.data.rendering.rendering import Rendering, TemplateError
from rlhf.digests import digest, one_spelling
from rlhf.models.checks import positions_of
from rlhf.models.load import ModelPiece, load_causal_lm
from rlhf.models.policy import policy_of
from rlhf.modules.base import StageModule
from rlhf.rollout.engines.base import Sampling, Stops
from rlhf.rollout.engines.torch import TorchEngine
from rlhf.rollout.probe import probe
from rlhf.rundir.errors import NonFinite, Stopped
from rlhf.rundir.files import flatten
from rlhf.rundir.secrets.redact import redact_value
from rlhf.rundir.status import recorded_end
from rlhf.stages.artifacts import ArtifactStore
from rlhf.stages.fit import fit
from rlhf.stages.provenance import legs
from rlhf.stages.provenance.manifest import data_parts
from rlhf.tracking.base import Dataset, Status, Tracker

log = logging.getLogger(__name__)

# Raised when the code of a stage changes what the same config gives: artifacts of older code are
# then no longer found.
CODE_VERSION = 3
Parents = Mapping[str, Path]  # the artifacts of the stages that a stage stands on, by stage


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """A run's config, data and directory, and what the stages make of them."""

    cfg: Config
    source: Source
    data: TaskData
    run_directory: Path
    probed: list[str] = field(default_factory=list)  # the model type, once it was asked
    rows: dict[str, Any] = field(default_factory=dict)  # by stage, once they were encoded

    @cached_property
    def plain(self) -> dict[str, Any]:
        return self.cfg.plain()

    @cached_property
    def written(self) -> dict[str, Any]:
        """The same for files: without its secrets."""
        clean: dict[str, Any] = redact_value("", self.plain)
        return clean

    @cached_property
    def model(self) -> ModelPiece:
        piece: ModelPiece = build(self.cfg.model)
        return piece

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.model.tokenizer(lambda: self.source.tokenizer(self.data))

    @cached_property
    def rendering(self) -> Rendering:
        """The run's way from turns to ids.

        Raises:
            DataError: `data.template` cannot be used with the model's tokenizer.
        """
        choice = getattr(self.source, "template", AUTO)
        return Rendering(
            tokenizer=self.tokenizer,
            template=choose(choice, self.tokenizer, continues=self.data.continues),
            model_stops=getattr(self.model, "stop_ids", list)(),
        )

    @cached_property
    def stops(self) -> Stops:
        """What ends a response."""
        return Stops(
            ids=self.rendering.stop_ids,
            texts=tuple(self.cfg.generation.stop),
            closing=self.rendering.closing,
        )

    @cached_property
    def sampling(self) -> Sampling:
        """How the run's responses are drawn."""
        drawn = self.cfg.generation
        return Sampling(**{name: getattr(drawn, name) for name in Sampling.__dataclass_fields__})

    @cached_property
    def model_config(self) -> PreTrainedConfig | None:
        """The configuration of the run's models, without their weights. None: a piece of the user's
        own does not tell."""
        read = getattr(self.model, "config", None)
        return None if read is None else read(self.tokenizer)

    @cached_property
    def positions(self) -> int | None:
        """The most tokens that the models of the run read at once: policy, reference, reward model
        and value model all have the architecture of conf/model. None: any number."""
        return positions_of(self.model_config)

    def long_prompts(self, part: str) -> LongPrompts:
        """The rule for prompts without room for a response, in a part of the data."""
        place = getattr(self.source, "place", lambda part, prompt: None)
        name = f"{part} of data={self.cfg.data.name}"
        return LongPrompts(
            rule=getattr(self.source, "on_long_prompt", "drop"),
            place=lambda turns: place(part, turns) or f"{name}, {quote(turns)}",
        )

    @cached_property
    def fitted(self) -> FittedPrompts:
        """The prompts that responses are drawn to: prompt + response <= positions.

        Raises:
            DataError: the data's rule for long prompts refuses some, or none is left.
        """
        return fit_prompts(
            self.data.prompts,
            self.prompt_length,
            None if self.positions is None else self.positions - self.cfg.generation.max_new_tokens,
            self.long_prompts("prompts"),
        )

    def prompt_length(self, turns: Turns) -> int:
        """In tokens. Raises DataError where the template refuses the prompt."""
        try:
            return len(self.rendering.prompt(turns))
        except TemplateError as error:
            where = self.long_prompts("prompts").place(turns)
            name = self.rendering.template.name
            raise DataError(f"{where}: data.template={name} refuses it: {error}") from None

    @cached_property
    def data_parts(self) -> dict[str, dict[str, Any]]:
        return data_parts(self.data)

    def datasets(self, *parts: str) -> list[Dataset]:
        """The data that a stage learns from, for the tracker: those of `demonstrations`,
        `preferences` and `prompts` that there are."""
        kind, source = self.cfg.data.name, self.plain["data"]
        return [
            Dataset(name=f"{kind} {name}", digest=part["sha256"], rows=part["rows"], source=source)
            for name, part in self.data_parts.items()
            if name in parts
        ]

    @cached_property
    def store(self) -> ArtifactStore:
        return ArtifactStore(Path(self.cfg.paths.artifacts))

    @property
    def device(self) -> str:
        return "cuda" if self.cfg.trainer.accelerator == "cuda" else "cpu"

    def load_policy(self, path: Path) -> PreTrainedModel:
        """A causal LM that a stage of ours saved; its own code runs only where the model's
        config allows it."""
        trusted = getattr(self.cfg.model, "trust_remote_code", False)
        return policy_of(load_causal_lm(path, trust_remote_code=trusted), self.tokenizer)

    def save_policy(self, policy: PreTrainedModel, directory: Path) -> None:
        """Writes a directory that transformers loads, with the run's template and all ids that end
        a response."""
        if policy.generation_config is not None:
            policy.generation_config.eos_token_id = list(self.stops.ids)
        self.model.save(policy, self.written_tokenizer, directory)

    @cached_property
    def written_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer with the run's template, as models are saved with it."""
        tokenizer = copy.deepcopy(self.tokenizer)
        tokenizer.chat_template = self.rendering.template.text
        return tokenizer

    def initial_policy(self) -> PreTrainedModel:
        """The causal LM before any training. Probed where the run goes on to draw its responses:
        what cannot be sampled is not trained first."""
        policy = policy_of(self.model.causal_lm(self.tokenizer), self.tokenizer)
        if self.cfg.stage != "sft":
            self.engine(policy)
        return policy

    def engine(self, policy: PreTrainedModel) -> TorchEngine:
        """The engine that draws the policy's responses. The first policy of a run is probed.

        Raises:
            ModelError: its responses are drawn with other log-probabilities than training computes.
        """
        engine = TorchEngine(policy, self.stops, self.rendering.pad_id, self.tokenizer)
        if not self.probed:
            special = torch.tensor(self.tokenizer.all_special_ids)
            ids = torch.tensor(sorted(self.tokenizer.get_vocab().values()))
            text = ids[~torch.isin(ids, special)]
            probe(engine, policy, text if len(text) else ids)
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
            "trainer": self.plain["trainer"],
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
        accumulate: int = 1,
    ) -> None:
        """Trains a stage's module in a directory, as the stage's settings and the run's trainer and
        callbacks say.

        Raises:
            NonFinite: a number overflowed; names the settings that are far from usual.
        """
        try:
            fit(
                module,
                batches,
                directory=directory,
                settings=self.cfg.trainer,
                grad_clip=training.grad_clip,
                checkpoint_every=training.checkpoint_every,
                tracker=tracker,
                status_in=self.run_directory,
                callbacks=[build(piece) for piece in self.cfg.callbacks.values()],
                accumulate=accumulate,
                began=partial(
                    legs.begin, directory, config_hash=run_hash(self.plain), unit=module.unit
                ),
            )
        except NonFinite as error:
            if far := unusual(flatten(self.plain)):
                raise NonFinite(f"{error}. Far from usual: {', '.join(far)}") from error
            raise
        legs.check_records(directory, module.iteration)

    @contextmanager
    def tracked(self, directory: Path, stage: Stage, **shown: Any) -> Iterator[Tracker]:
        """A tracker that gets to know how it ended: FINISHED, KILLED by a signal, or FAILED; so
        does the directory's status. `shown`: name, params and tags."""
        tracker: Tracker = build(self.cfg.tracking)
        tracker.begin(directory, datasets=self.datasets(*stage.data), **shown)
        status: Status = "FAILED"
        try:
            with recorded_end(directory):
                yield tracker
            status = "FINISHED"
        except (Stopped, KeyboardInterrupt):
            status = "KILLED"
            raise
        finally:
            if warning := tracker.finish(status):
                log.warning(warning)
