"""What a run is made from: its config, its data, and how text becomes ids."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from rlhf.config.build import build
from rlhf.config.properties import needed_stages
from rlhf.config.schema import Config
from rlhf.data.conversations import Turns
from rlhf.data.lengths import FittedPrompts, LongPrompts, PromptLimit, fit_prompts, quote
from rlhf.data.records import DataError, Source, TaskData
from rlhf.data.rendering.cautions import caution
from rlhf.data.rendering.choice import AUTO, choose
from rlhf.data.rendering.kept import PromptIds
from rlhf.data.rendering.rendering import Rendering
from rlhf.data.rendering.spans import TemplateError
from rlhf.models.checks import positions_of
from rlhf.models.piece import ModelPiece
from rlhf.rollout.engines.base import Sampling, Stops
from rlhf.rundir.secrets.redact import redact_value
from rlhf.stages.outside.pieces import policy_piece, reward_model_piece
from rlhf.stages.provenance.manifest import data_parts
from rlhf.tracking.base import Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A run's config and data, and what is read off them before any model is loaded."""

    cfg: Config
    source: Source
    data: TaskData

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
    def start(self) -> ModelPiece:
        """The policy's beginning: `sft.path`, or conf/model."""
        return policy_piece(self.cfg, self.model)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.start.tokenizer(lambda: self.source.tokenizer(self.data))

    @cached_property
    def rendering(self) -> Rendering:
        """The run's way from turns to ids.

        Raises:
            DataError: `data.template` cannot be used with the model's tokenizer.
        """
        choice = getattr(self.source, "template", AUTO)
        rendering = Rendering(
            tokenizer=self.tokenizer,
            template=choose(choice, self.tokenizer, continues=self.data.continues),
            model_stops=getattr(self.start, "stop_ids", list)(),
        )
        if warning := caution(rendering):
            log.warning("%s", warning)
        return rendering

    @cached_property
    def stops(self) -> Stops:
        """What ends a response."""
        return Stops.of(self.rendering, self.cfg.generation.stop)

    @cached_property
    def sampling(self) -> Sampling:
        """How the run's responses are drawn."""
        drawn = self.cfg.generation
        return Sampling(**{name: getattr(drawn, name) for name in Sampling.__dataclass_fields__})

    @cached_property
    def model_config(self) -> PreTrainedConfig | None:
        """The configuration of the policy, without its weights. None: a piece of the user's own
        does not tell."""
        read = getattr(self.start, "config", None)
        return None if read is None else read(self.tokenizer)

    @cached_property
    def other_configs(self) -> dict[str, PreTrainedConfig]:
        """The configurations of the models that the run reads beside its policy, by the key that
        names them: a reward model that is given, or trained from another model than the policy."""
        cfg = self.cfg
        if all(stage.name != "reward_model" for stage in needed_stages(cfg)):
            return {}
        if piece := reward_model_piece(cfg):
            return {piece.key: piece.config(self.tokenizer)}
        read = getattr(self.model, "config", None)
        if cfg.reward_model.init == "model" and self.start is not self.model and read:
            config = read(self.tokenizer)
            return {} if config is None else {"model": config}
        return {}

    @cached_property
    def positions(self) -> int | None:
        """The most tokens that all models of the run read at once: the policy and its reference,
        the reward model and the value model. None: any number."""
        configs = (self.model_config, *self.other_configs.values())
        return min(filter(None, map(positions_of, configs)), default=None)

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
        """The prompts that responses are drawn to: prompt + response <= positions, and
        prompt <= generation.max_prompt_tokens.

        Raises:
            DataError: the data's rule for long prompts refuses some, or none is left.
        """
        return fit_prompts(
            self.data.prompts,
            self.prompt_lengths,
            self.prompt_limit,
            self.long_prompts("prompts"),
        )

    @property
    def prompt_limit(self) -> PromptLimit:
        """The most tokens of a prompt of PPO: what is set, or what the positions leave beside a
        response and what the reward model reads after it."""
        drawn, left = self.cfg.generation, None
        if self.positions is not None:
            left = max(1, self.positions - drawn.max_new_tokens - self.stops.most_after)
        return PromptLimit(set=drawn.max_prompt_tokens, left=left)

    @cached_property
    def prompt_ids(self) -> PromptIds:
        return PromptIds(self.rendering)

    def prompt_lengths(self, prompts: Sequence[Turns]) -> list[int]:
        """In tokens. Raises DataError with the place of each prompt that the template refuses."""
        try:
            return [len(row) for row in self.prompt_ids(prompts)]
        except TemplateError:
            raise DataError(filter(None, dict.fromkeys(map(self._refusal, prompts)))) from None

    def _refusal(self, turns: Turns) -> str:
        try:
            self.rendering.prompt(turns)
        except TemplateError as error:
            where, name = self.long_prompts("prompts").place(turns), self.rendering.template.name
            return f"{where}: data.template={name} refuses it: {error}"
        return ""

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
    def written_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer with the run's template, as models are saved with it."""
        tokenizer = copy.deepcopy(self.tokenizer)
        tokenizer.chat_template = self.rendering.template.text
        return tokenizer
