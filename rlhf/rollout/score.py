"""The worth of responses: the judges that score them, and what a policy can maximise of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from rlhf.arguments import missing_eos_fault, positive
from rlhf.at_once import AtOnce
from rlhf.data.conversations import Turns
from rlhf.data.records import Reward
from rlhf.models.scalar import Scalar, scores
from rlhf.rollout.engines.base import Stops, closed, decode
from rlhf.rundir.errors import RunFailed
from rlhf.types import Rollout

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Responses:
    """Responses as a scorer sees them: ids and masks, texts, and every judge's score."""

    rollout: Rollout
    tokenizer: Any
    stops: Stops
    # [B] on the rollout's device by the metric's name: `proxy`, `gold` and the others'
    scores: dict[str, Tensor] = field(default_factory=dict)
    # [N, B] of all reward models of an ensemble, the first one `proxy`; None where there is one
    members: Tensor | None = None
    computed: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)  # by `once`

    @property
    def prompts(self) -> tuple[str, ...]:
        return self.rollout.prompt.texts

    @cached_property
    def texts(self) -> list[str]:
        """Without what ended them; decoded once, when somebody asks."""
        return decode(self.rollout, self.tokenizer, self.stops)

    @property
    def references(self) -> tuple[str | None, ...]:
        return self.rollout.prompt.references

    @property
    def turns(self) -> tuple[Turns, ...]:
        """The turns that each answers."""
        return tuple(prompt.turns for prompt in self.rollout.prompt.prompts)

    def rows(self, index: Tensor) -> Responses:
        """The responses `index` [N], in that order."""
        members = self.members
        if members is not None:
            members = members[:, index.to(members.device)]
        return Responses(
            rollout=self.rollout.rows(index),
            tokenizer=self.tokenizer,
            stops=self.stops,
            scores={name: score[index.to(score.device)] for name, score in self.scores.items()},
            members=members,
        )

    def once(self, who: Any, make: Callable[[Responses], T]) -> T:
        """What `make` gives of these responses, computed once for each `who`."""
        if who not in self.computed:
            self.computed[who] = make(self)
        result: T = self.computed[who]
        return result

    def with_scores(self, scores: Mapping[str, Tensor]) -> Responses:
        """The same responses with further scores; of one name the later counts."""
        more = replace(self, scores={**self.scores, **scores})
        vars(more).update({"texts": self.texts} if "texts" in vars(self) else {})
        return more


@dataclass(frozen=True, kw_only=True)
class Judges:
    """Everyone who can score a response. Our scorers maximise `reward_model` or `gold`; the
    `others` are measured beside them. `members`: the further reward models of an ensemble."""

    tokenizer: Any
    stops: Stops
    reward_model: Scalar | None = None
    members: tuple[Scalar, ...] = ()
    gold: Reward | None = None
    others: Mapping[str, Reward] = field(default_factory=dict)
    at_once: AtOnce = AtOnce()  # what a reward model reads

    @property
    def reward_models(self) -> tuple[Scalar, ...]:
        return () if self.reward_model is None else (self.reward_model, *self.members)

    @torch.no_grad()
    def read(self, rollout: Rollout) -> Responses:
        """The responses with every judge's score."""
        models, by_model = self.reward_models, list[Tensor]()
        if models:
            whole = closed(rollout, self.tokenizer, self.stops)
            by_model = [scores(model, *whole, self.at_once) for model in models]
        responses = Responses(
            rollout=rollout,
            tokenizer=self.tokenizer,
            stops=self.stops,
            scores={"proxy": by_model[0]} if by_model else {},
            members=torch.stack(by_model) if self.members else None,
        )
        given_by, device = responses.scores, rollout.tokens.device
        for name, judge in {"gold": self.gold, **self.others}.items():
            if judge is not None:
                given = torch.tensor(
                    judge(responses.prompts, responses.texts), dtype=torch.float32, device=device
                )
                given_by[name] = one_each(given, responses, f"the judge {name}")
        return responses


@torch.no_grad()
def judged(scorer: Any, responses: Responses) -> tuple[Responses, Tensor]:
    """The responses with the named scores that the scorer is made of, and its score [B].

    Raises:
        RunFailed: it gives anything but one number a response.
    """
    measures = getattr(scorer, "measures", None)
    responses = responses.with_scores({} if measures is None else measures(responses))
    return responses, score_by(scorer, responses)


def score_by(scorer: Any, responses: Responses) -> Tensor:
    """[B] float32 on the responses' device, without gradient: the scorer's score of each.

    Raises:
        RunFailed: it gives anything but one number a response.
    """
    given = torch.as_tensor(scorer(responses), dtype=torch.float32)
    return one_each(given.detach().to(responses.rollout.tokens.device), responses, "the scorer")


def one_each(given: Tensor, responses: Responses, who: str) -> Tensor:
    """`given`, which is one number a response. Raises RunFailed where it is not."""
    if given.shape != (count := len(responses.prompts),):
        raise RunFailed(
            f"{who} gave numbers of the shape {tuple(given.shape)} for {count} responses: expected"
            f" one each, ({count},)"
        )
    return given


class Scorer:
    """The score that training maximises. One of your own says in `score` what a response is worth.

    One that is made of named scores gives them by `measures`: they are shown as `reward/<name>`.

    It may be any object with `needs_reward_model` (the run trains one, and `scores["proxy"]` is
    there), `needs_gold` (the data must have a gold reward), `scorer(responses) -> [B]`, the score
    that evaluations show, and `clip(score) -> [B]`, which makes the training reward of it.

    Args:
        missing_eos: a response that never ended keeps its score (none), has `missing_eos_value` for
            its score (set) or loses it (subtract).
        reward_clip: the largest |score| that training sees; None: no limit.

    Raises:
        ValueError: a rule without its value, or a limit that is not above 0.
    """

    needs_reward_model = False
    needs_gold = False
    measured: tuple[str, ...] = ()  # the names of what `measures` gives

    def __init__(
        self,
        missing_eos: str = "none",
        missing_eos_value: float | None = None,
        reward_clip: float | None = None,
    ) -> None:
        if fault := missing_eos_fault(missing_eos, missing_eos_value):
            raise ValueError(fault)
        self.missing_eos, self.missing_eos_value = missing_eos, missing_eos_value or 0.0
        self.reward_clip = None if reward_clip is None else positive("reward_clip", reward_clip)

    def score(self, responses: Responses) -> Tensor:
        """[B] by the responses alone."""
        raise NotImplementedError

    def measures(self, responses: Responses) -> dict[str, Tensor]:
        """[B] each: the named scores that this one is made of, beside those of the judges."""
        return {}

    def identity(self) -> Any:
        """What decides the scores beside the arguments, as plain values; None: nothing."""
        return None

    def prepare(self) -> None:
        """Reads what scoring will need: what cannot be had is refused before any training."""

    def __call__(self, responses: Responses) -> Tensor:
        """[B] after the rule for responses that never ended."""
        ended = responses.rollout.ended
        return missing_eos(self.score(responses), ended, self.missing_eos, self.missing_eos_value)

    def clip(self, score: Tensor) -> Tensor:
        """[B] within the limit. The KL comes later and is never clipped by it."""
        limit = self.reward_clip
        return score if limit is None else score.clamp(-limit, limit)


class RewardModelScorer(Scorer):
    """The learned proxy: the scalar at the response's last token."""

    needs_reward_model = True

    def score(self, responses: Responses) -> Tensor:
        if "proxy" not in responses.scores:
            raise ValueError("scorer=reward_model needs a reward model")
        return responses.scores["proxy"]


class GoldScorer(Scorer):
    """The data's own gold reward."""

    needs_gold = True

    def score(self, responses: Responses) -> Tensor:
        if "gold" not in responses.scores:
            raise ValueError("scorer=gold needs data with a gold reward")
        return responses.scores["gold"]


def missing_eos(score: Tensor, ended: Tensor, mode: str, value: float) -> Tensor:
    """[B]: a response that never ended keeps its score (none), has `value` for its score (set) or
    loses `value` (subtract).

    Source: lm-human-preferences and summarize_from_feedback set a fixed score (-1), TRL's
    `missing_eos_penalty` subtracts one.
    """
    if fault := missing_eos_fault(mode, value):
        raise ValueError(fault)
    if mode == "none":
        return score
    return torch.where(
        ended, score, torch.full_like(score, value) if mode == "set" else score - value
    )
