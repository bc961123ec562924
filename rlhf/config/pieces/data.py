from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlhf.config.pieces.base import ByTarget, Count, Custom, OpenShare, Piece, Positive, Seed


class Source(Piece):
    seed: Seed
    pairs: Count
    label_temperature: Positive
    max_response_tokens: Count
    # configs that were kept from before there was a choice do not say it
    on_long_prompt: Literal["drop", "truncate_left", "error"] = "drop"


class Texts(Source):
    prompt_words: Count
    heldout_fraction: OpenShare
    vocabulary: Annotated[int, Field(ge=258)]  # BPE tokens; the bytes are 256 of them


class Reviews(
    Source, name="reviews", at="rlhf.data.sources.reviews.Reviews", was="rlhf.data.reviews.Reviews"
):
    demonstrations: Count
    prompts: Annotated[int, Field(ge=2)]
    heldout_fraction: OpenShare


class Micro(Source, name="micro", at="rlhf.data.sources.micro.Micro", was="rlhf.data.micro.Micro"):
    vocabulary: Annotated[int, Field(ge=2, le=26)]
    prompts: Count
    demonstrations: Count
    max_response_tokens: Annotated[int, Field(ge=1, le=12)]


class JsonLines(
    Texts, name="jsonl", at="rlhf.data.sources.jsonl.JsonLines", was="rlhf.data.jsonl.JsonLines"
):
    demonstrations: str
    preferences: str | None
    prompts: str | None
    gold: Literal["vader"] | None


class RTPolarity(
    Texts,
    name="rt_polarity",
    at="rlhf.data.sources.rt_polarity.RTPolarity",
    was="rlhf.data.rt_polarity.RTPolarity",
):
    path: str
    prompts: Annotated[int, Field(ge=2)]


Data = Annotated[Reviews | Micro | JsonLines | RTPolarity | Custom, ByTarget()]
