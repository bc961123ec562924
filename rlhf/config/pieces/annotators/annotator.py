from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from rlhf.annotators.checks import answers_fault, template_fault
from rlhf.config.pieces.annotators.openai import OpenAIAnnotator
from rlhf.config.pieces.base import ByTarget, Custom, NotNegative, Piece, Place, Share, Size, Weight
from rlhf.config.pieces.scorer import PartName, Worth, without
from rlhf.rewards import checks

Temperature = Annotated[NotNegative, Field(le=1000)]


class Simulated(Piece):
    """What annotators need stands here, so that it can be asked before torch is loaded; a user's
    own class has `needs_reward_model` and `needs_gold` too."""

    needs_reward_model: ClassVar[bool] = False
    needs_gold: ClassVar[bool] = False
    flip: Share = 0.0


class GoldAnnotator(Simulated, name="gold", at="rlhf.annotators.preference.GoldAnnotator"):
    needs_gold = True
    temperature: Temperature | None = None
    length_weight: Worth = 0.0


class RewardModelAnnotator(
    Simulated, name="reward_model", at="rlhf.annotators.preference.RewardModelAnnotator"
):
    needs_reward_model = True
    temperature: Temperature
    length_weight: Worth


class ClassifierAnnotator(
    Simulated, name="classifier", at="rlhf.annotators.classifier.ClassifierAnnotator"
):
    path: Place
    label: int | str | None
    score: Literal["logit", "log_prob", "probability"]
    text: Annotated[str, without(checks.text_fault)] | None
    max_length: Annotated[int, Field(ge=2, lt=2**31)] | None
    batch_size: Size
    temperature: Temperature
    length_weight: Worth


class JudgeAnnotator(Simulated, name="judge", at="rlhf.annotators.judge.JudgeAnnotator"):
    path: Place
    revision: str | None
    dtype: Literal["float32", "bfloat16"]
    template: Annotated[str, Field(max_length=100_000), without(template_fault)]
    answers: Annotated[list[Annotated[str, Field(max_length=100)]], without(answers_fault)]
    orders: Literal["both", "given"]
    max_length: Annotated[int, Field(ge=2, lt=2**31)] | None
    batch_size: Size


Single: TypeAlias = (
    GoldAnnotator | RewardModelAnnotator | ClassifierAnnotator | JudgeAnnotator | OpenAIAnnotator
)
Member = Annotated[Single | Custom, ByTarget()]


class Pool(Simulated, name="pool", at="rlhf.annotators.pool.Pool"):
    members: dict[PartName, Member]
    weights: dict[PartName, Weight]

    @property
    def inner(self) -> tuple[Any, ...]:
        return (*self.members.values(),)


Annotator = Annotated[Single | Pool | Custom, ByTarget()]
# the labels that sampled pairs have had since before there were annotators
PLAIN_GOLD = GoldAnnotator(_target_=GoldAnnotator.addresses[0])


def members_of(annotator: Pool | Piece | Custom) -> dict[str, Piece | Custom]:
    """The annotators that an annotator asks, by the dotted key of each: itself, or its members."""
    if not isinstance(annotator, Pool):
        return {"annotator": annotator}
    return {f"annotator.members.{name}": each for name, each in annotator.members.items()}
