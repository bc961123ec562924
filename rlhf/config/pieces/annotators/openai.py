from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rlhf.annotators.checks import answers_fault, template_fault
from rlhf.annotators.endpoint.checks import url_fault, variable_fault
from rlhf.config.pieces.base import Count, NotNegative, Piece, Place, Positive, Share
from rlhf.config.pieces.scorer import without

Price = Annotated[NotNegative, Field(le=10**6)]
Text = Annotated[str, Field(max_length=100_000)]
Word = Annotated[str, Field(min_length=1, max_length=100)]


class OpenAIAnnotator(Piece, name="openai", at="rlhf.annotators.openai.OpenAIAnnotator"):
    needs_reward_model: ClassVar[bool] = False
    needs_gold: ClassVar[bool] = False
    base_url: Annotated[str, without(url_fault)]
    model: Annotated[str, Field(min_length=1, max_length=1000)]
    api_key_env: Annotated[str, without(variable_fault)] | None
    system: Text | None
    template: Annotated[Text, without(template_fault)]
    answers: Annotated[list[Word], without(answers_fault)]
    tie: Word | None
    orders: Literal["both", "given"]
    temperature: Annotated[float, Field(ge=0, le=1000)] | None
    max_tokens: Count | None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None
    extra: dict[str, Any]
    max_concurrency: Annotated[int, Field(ge=1, le=1000)]
    timeout: Positive
    retries: Annotated[int, Field(ge=0, le=100)]
    backoff: Positive
    max_requests: Count | None
    max_cost: Positive | None
    price_in: Price
    price_out: Price
    cache: Place | None
    check: bool
    flip: Share = 0.0
