from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlhf.config.pieces.base import (
    ByTarget,
    Count,
    Custom,
    OpenShare,
    Piece,
    Place,
    Rows,
    Seed,
    Size,
    Temperature,
)


class Source(Piece):
    seed: Seed
    pairs: Rows
    label_temperature: Temperature
    max_response_tokens: Size | None  # None: conf/generation says it
    # configs that were kept from before there was a choice do not say it
    on_long_prompt: Literal["drop", "truncate_left", "error"] = "drop"


class Texts(Source):
    prompt_words: Count
    heldout_fraction: OpenShare
    vocabulary: Annotated[int, Field(ge=258, le=10**6)]  # BPE tokens; the bytes are 256 of them


class Reviews(
    Source, name="reviews", at="rlhf.data.sources.reviews.Reviews", was="rlhf.data.reviews.Reviews"
):
    demonstrations: Rows
    prompts: Annotated[int, Field(ge=2, le=10**7)]
    heldout_fraction: OpenShare


class Micro(Source, name="micro", at="rlhf.data.sources.micro.Micro", was="rlhf.data.micro.Micro"):
    vocabulary: Annotated[int, Field(ge=2, le=26)]
    prompts: Rows
    demonstrations: Rows
    max_response_tokens: Annotated[int, Field(ge=1, le=12)]  # type: ignore[assignment]


class JsonLines(
    Texts, name="jsonl", at="rlhf.data.sources.jsonl.JsonLines", was="rlhf.data.jsonl.JsonLines"
):
    demonstrations: Place
    preferences: Place | None
    prompts: Place | None
    gold: Literal["vader"] | None


class RTPolarity(
    Texts,
    name="rt_polarity",
    at="rlhf.data.sources.rt_polarity.RTPolarity",
    was="rlhf.data.rt_polarity.RTPolarity",
):
    path: Place
    prompts: Annotated[int, Field(ge=2, le=10**7)]


Data = Annotated[Reviews | Micro | JsonLines | RTPolarity | Custom, ByTarget()]
