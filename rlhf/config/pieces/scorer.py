from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field

from rlhf.config.pieces.base import (
    ByTarget,
    Count,
    Custom,
    Form,
    NotNegative,
    Number,
    Piece,
    Place,
    Positive,
    Size,
)
from rlhf.rewards import checks

Worth = Annotated[Number, Field(ge=-(10**6), le=10**6)]


def _pattern(value: str) -> str:
    checks.compiled(value)
    return value


def without(fault: Any) -> AfterValidator:
    """Refuses a value that `fault` has a sentence for."""

    def check(value: Any) -> Any:
        if reason := fault(value):
            raise ValueError(reason)
        return value

    return AfterValidator(check)


RewardName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40),
    without(checks.name_fault),
]
PartName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]


class Rules(Piece):
    """The rules that every scorer of ours has. What a scorer needs stands here, so that it can be
    asked before torch is loaded; a user's own class has `needs_reward_model` and `needs_gold`."""

    needs_reward_model: ClassVar[bool] = False
    needs_gold: ClassVar[bool] = False
    missing_eos: Literal["none", "set", "subtract"]
    missing_eos_value: Worth | None
    reward_clip: Positive | None


class RewardModelScorer(Rules, name="reward_model", at="rlhf.rollout.score.RewardModelScorer"):
    needs_reward_model = True


class GoldScorer(Rules, name="gold", at="rlhf.rollout.score.GoldScorer"):
    needs_gold = True


class FunctionScorer(Rules, name="function", at="rlhf.rewards.function.FunctionScorer"):
    callables = ("function",)
    function: str
    arguments: dict[str, Any]
    batch_size: Size
    timeout: Positive | None
    pure: bool
    metric: RewardName | None
    # composition writes it down: what the function's code was
    code: str = Field(default="", alias="_code_")


class ClassifierScorer(Rules, name="classifier", at="rlhf.rewards.classifier.ClassifierScorer"):
    path: Place
    label: int | str | None
    score: Literal["logit", "log_prob", "probability"]
    text: Annotated[str, without(checks.text_fault)] | None
    max_length: Annotated[int, Field(ge=2, lt=2**31)] | None
    batch_size: Size
    metric: RewardName


class VaderScorer(Rules, name="vader", at="rlhf.rewards.rules.VaderScorer"):
    pass


class AnswerMatchScorer(Rules, name="answer_match", at="rlhf.rewards.rules.AnswerMatchScorer"):
    form: Literal["exact", "numeric", "either"]
    right: Worth
    wrong: Worth


class LengthScorer(Rules, name="length", at="rlhf.rewards.rules.LengthScorer"):
    target: Count
    penalty: Positive
    unit: Literal["tokens", "words", "characters"]
    side: Literal["both", "above", "below"]


class RegexScorer(Rules, name="regex", at="rlhf.rewards.rules.RegexScorer"):
    pattern: Annotated[str, AfterValidator(_pattern), Form("text", "a regular expression")]
    match: Literal["search", "full"]
    hit: Worth
    miss: Worth
    timeout: Positive


class JsonScorer(Rules, name="json", at="rlhf.rewards.rules.JsonScorer"):
    keys: list[str]
    valid: Worth
    invalid: Worth


class EnsembleScorer(Rules, name="ensemble", at="rlhf.rewards.ensemble.EnsembleScorer"):
    needs_reward_model = True
    members: Annotated[int, Field(ge=2, le=100)]
    how: Literal["mean", "min", "mean_minus_std"]
    k: Annotated[NotNegative, Field(le=10**6)]


Single: TypeAlias = (
    RewardModelScorer
    | GoldScorer
    | FunctionScorer
    | ClassifierScorer
    | VaderScorer
    | AnswerMatchScorer
    | LengthScorer
    | RegexScorer
    | JsonScorer
    | EnsembleScorer
)
Part = Annotated[Single | Custom, ByTarget()]


class CombinedScorer(Rules, name="combined", at="rlhf.rewards.combined.CombinedScorer"):
    parts: dict[PartName, Part]
    weights: dict[PartName, Worth]
    how: Literal["sum", "product"]

    @property
    def inner(self) -> tuple[Any, ...]:
        return (*self.parts.values(),)


Scorer = Annotated[Single | CombinedScorer | Custom, ByTarget()]


def parts_of(scorer: Any) -> dict[str, Any]:
    """The scorers that a scorer is made of, by the dotted key of each: itself, or its parts."""
    if not isinstance(scorer, CombinedScorer):
        return {"scorer": scorer}
    return {f"scorer.parts.{name}": part for name, part in scorer.parts.items()}


def ensemble_members(scorer: Any) -> int:
    """How many reward models a scorer reads; 0 where it reads none by itself."""
    every = parts_of(scorer).values()
    ensembles = (part.members for part in every if isinstance(part, EnsembleScorer))
    return max(ensembles, default=0)
