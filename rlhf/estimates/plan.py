"""The estimate of a config: the lengths of its rows, the responses that it draws, and the
arithmetic of each stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rlhf.arguments import layers_of
from rlhf.config.pieces.scorer import ensemble_members
from rlhf.config.properties import (
    draws,
    is_trained,
    learns_from,
    most_iterations,
    needed_stages,
    needs_reward_model,
    normalizes,
    of_algorithm,
    path_grid,
    trains_values,
)
from rlhf.config.schema import Config
from rlhf.config.stages import STAGES
from rlhf.estimates.adapters import size_of_adapter
from rlhf.estimates.memory import BYTES
from rlhf.estimates.passes import Rows
from rlhf.estimates.rows import DataSize, PartSize
from rlhf.estimates.shape import ModelShape

FORWARD, UPDATE = 2, 6  # operations a parameter and token


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a config needs, where all of its stages have to be trained. (Memory:
    `rlhf.estimates.peaks`.)"""

    cfg: Config
    shape: ModelShape
    data: DataSize

    @cached_property
    def stages(self) -> list[str]:
        return [stage.name for stage in needed_stages(self.cfg)]

    @cached_property
    def trained(self) -> list[str]:
        """Those whose result is not given by a path: they have an optimizer, and a peak here."""
        return [n for n in self.stages if STAGES[n].is_run or is_trained(self.cfg, n)]

    # --- lengths

    def batch(self, stage: str, part: PartSize | None) -> Rows:
        """Of a supervised stage."""
        settings = getattr(self.cfg, stage)
        if part is None:
            most = settings.max_length
            return Rows(count=settings.batch_size, tokens=most, response=most)
        count, most = self.rows(stage, part), part.longest_tokens(settings.max_length)
        mean = most * part.mean / max(part.longest, 1)
        return Rows(count=min(settings.batch_size, count), tokens=most, response=most, mean=mean)

    def rows(self, stage: str, part: PartSize) -> int:
        """Of a supervised stage, to train on."""
        most: int | None = getattr(self.cfg, stage).max_rows
        return part.train if most is None else min(part.train, most)

    @cached_property
    def response(self) -> int:
        return self.cfg.generation.max_new_tokens

    @cached_property
    def prompt(self) -> int:
        """The longest prompt that responses are drawn to; unread data count as the reward model's
        length less a response."""
        if self.data.prompts is not None:
            return self.data.prompts.longest_tokens(self.prompt_limit)
        return min(self.prompt_limit, max(2, self.cfg.reward_model.max_length - self.response))

    @cached_property
    def prompt_limit(self) -> int:
        """The most tokens of one: what is set, and what the positions leave beside a response."""
        left = max(2, (self.shape.positions or 10**9) - self.response)
        return min(left, self.cfg.generation.max_prompt_tokens or left)

    def drawn(self, count: int) -> Rows:
        """Responses that run to their limit: how many end before is learned."""
        part, mean = self.data.prompts, None
        if part is not None:
            mean = self.prompt * part.mean / max(part.longest, 1) + self.response
        tokens = self.prompt + self.response
        return Rows(count=count, tokens=tokens, response=self.response, mean=mean)

    # --- weights

    @property
    def weights(self) -> int:
        """Bytes of the policy's."""
        return BYTES * self.shape.parameters

    @property
    def adapter(self) -> int:
        """Bytes of an adapter; 0 where there are none."""
        return BYTES * size_of_adapter(self.shape, self.cfg) if self.cfg.adapter.is_used else 0

    @property
    def policy(self) -> int:
        """Bytes of what a run leaves of its policy."""
        return self.adapter or self.weights

    # --- responses

    @cached_property
    def responses(self) -> dict[str, int]:
        """Responses that are drawn, by what for; those of which there are none left out."""
        cfg, counts = self.cfg, {}
        if "ppo" in self.stages:
            every, last = cfg.evaluation.every, most_iterations(cfg)
            ends = len(path_grid(cfg.kl) or (cfg.kl.coef,))
            # before the first iteration, and after the last of each point
            times = 1 + min(last, -(-last // every) + ends - 1)
            drawn = cfg.generation
            plain = drawn.temperature == 1 and drawn.top_k == 0 and drawn.top_p == 1
            held = self.data.prompts.heldout if self.data.prompts else cfg.best_of_n.prompts
            counts = {
                "training": last * cfg.ppo.rollout_size * draws(cfg.algorithm),
                "evaluations": times * cfg.evaluation.prompts * (1 if plain else 2),
                "best of n": cfg.best_of_n.samples * min(cfg.best_of_n.prompts, held),
                "win rates": cfg.evaluation.prompts * (cfg.evaluation.win_rate == "sft"),
                "realign": realigned(cfg),
            }
        if "reward_model" in self.stages:
            settings, pairs = cfg.reward_model, int(getattr(cfg.data, "pairs", 0))
            sampled = self.data.prompts is not None and self.data.preferences is None
            counts["normalisation"] = settings.normalize_samples if normalizes(settings) else 0
            sampled = sampled and "reward_model" in self.trained
            counts["pairs"] = 2 * (pairs + max(1, pairs // 10)) if sampled else 0
        return {purpose: count for purpose, count in counts.items() if count}

    # --- arithmetic

    @cached_property
    def operations(self) -> dict[str, float]:
        """Floating-point operations of each stage: 2 N a token that is read or drawn, 6 N one that
        is learned from (Kaplan et al. 2020, arXiv 2001.08361). Attention over earlier tokens is
        left out, which is small for lengths below 6 h. Empty where the data is not known."""
        known = {"sft": self.data.demonstrations, "reward_model": self.data, "ppo": self.data}
        return {
            name: WORK[name](self)
            for name in self.trained
            if name in WORK and known[name] not in (None, DataSize())
        }

    def supervised(self, stage: str, part: PartSize, texts: int) -> float:
        """Gradients go back through the layers that are trained; a head alone is trained on states
        of the texts that differ, which are read once."""
        settings: Any = getattr(self.cfg, stage)
        a_pass = texts * part.mean_tokens(settings.max_length) * self.shape.parameters
        epochs, layers, rows = settings.epochs, layers_of(settings.trained), self.rows(stage, part)
        if layers == 0:
            every = texts * (rows + part.heldout)
            return a_pass / texts * FORWARD * min(every, part.texts or every)
        share = 1.0 if layers is None else self.shape.last(layers) / self.shape.parameters
        learned = FORWARD + (UPDATE - FORWARD) * share
        work: float = learned * epochs * rows + FORWARD * (epochs + 1) * part.heldout
        return a_pass * work

    @cached_property
    def a_response(self) -> float:
        """Tokens times parameters of one response that runs to its full length."""
        part = self.data.prompts
        prompt = self.prompt if part is None else part.mean_tokens(self.prompt_limit)
        return (prompt + self.response) * self.shape.parameters


def drawn_in(purpose: str) -> str:
    """The stage that draws the responses of this purpose."""
    return "reward_model" if purpose in ("normalisation", "pairs") else "ppo"


def reward_models(cfg: Config) -> int:
    """How many read every response; of an ensemble all of its members."""
    judged = needs_reward_model(cfg.scorer, cfg.ppo, cfg.algorithm, cfg.advantage)
    return max(1, ensemble_members(cfg.scorer)) if judged else 0


BESIDE = ("evaluations", "best of n", "win rates", "realign")  # responses that train nothing


def realigned(cfg: Config) -> int:
    """Responses of the policies between the SFT policy and the run's, at its end."""
    settings = cfg.realign
    each = (settings.prompts or cfg.evaluation.prompts) * settings.samples
    return len(settings.lambdas) * len({*settings.by}) * each


def _ppo_work(it: Estimate) -> float:
    """A training response is drawn, read by policy, reference, reward models and value model, and
    learned from (of some algorithms the best to each prompt alone) in each inner epoch by policy
    and value model; others are drawn, and read by all but the value model."""
    cfg = it.cfg
    values, judged = trains_values(cfg.algorithm, cfg.advantage), reward_models(cfg)
    training = it.responses.get("training", 0)
    others = sum(it.responses.get(name, 0) for name in BESIDE)
    reads = training * (3 + judged + values) + others * (3 + judged)
    kept = training
    if of_algorithm(cfg.algorithm, "keeps_best", False):
        kept //= cfg.ppo.responses_per_prompt
    learns = kept * cfg.ppo.inner_epochs * (1 + values)
    return (FORWARD * reads + UPDATE * learns) * it.a_response + _pairs_work(it)


def _pairs_work(it: Estimate) -> float:
    """Of an algorithm that learns from pairs: the reference reads both texts of each once, and the
    policy learns from those of each iteration."""
    cfg, part = it.cfg, it.data.preferences
    if part is None or "preferences" not in learns_from(cfg.algorithm):
        return 0.0
    a_pair = 2 * part.mean_tokens(cfg.reward_model.max_length) * it.shape.parameters
    learned = most_iterations(cfg) * cfg.ppo.rollout_size * cfg.ppo.inner_epochs
    return (FORWARD * it.rows("reward_model", part) + UPDATE * learned) * a_pair


def _reward_work(it: Estimate) -> float:
    drawn = sum(it.responses.get(name, 0) for name in ("normalisation", "pairs"))
    part = it.data.preferences
    members = max(1, ensemble_members(it.cfg.scorer))
    rows = 0.0 if part is None else members * it.supervised("reward_model", part, 2)
    return rows + FORWARD * 2 * drawn * it.a_response


def _sft_work(it: Estimate) -> float:
    part = it.data.demonstrations
    return 0.0 if part is None else it.supervised("sft", part, 1)


WORK: dict[str, Callable[[Estimate], float]] = {
    "sft": _sft_work,
    "reward_model": _reward_work,
    "ppo": _ppo_work,
}
