"""The sources of conf/data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlhf.config.pieces.base import ByTarget, Count, Custom, OpenShare, Piece, Positive, Seed


class Reviews(Piece):
    name = "reviews"
    addresses = ("rlhf.data.sources.reviews.Reviews", "rlhf.data.reviews.Reviews")
    seed: Seed
    demonstrations: Count
    pairs: Count
    label_temperature: Positive
    prompts: Annotated[int, Field(ge=2)]
    heldout_fraction: OpenShare
    max_response_tokens: Count


class Micro(Piece):
    name = "micro"
    addresses = ("rlhf.data.sources.micro.Micro", "rlhf.data.micro.Micro")
    seed: Seed
    vocabulary: Annotated[int, Field(ge=2, le=26)]
    prompts: Count
    demonstrations: Count
    pairs: Count
    label_temperature: Positive
    max_response_tokens: Annotated[int, Field(ge=1, le=12)]


class JsonLines(Piece):
    name = "jsonl"
    addresses = ("rlhf.data.sources.jsonl.JsonLines", "rlhf.data.jsonl.JsonLines")
    demonstrations: str
    preferences: str | None
    prompts: str | None
    gold: Literal["vader"] | None
    prompt_words: Count
    pairs: Count
    label_temperature: Positive
    heldout_fraction: OpenShare
    seed: Seed
    vocabulary: Annotated[int, Field(ge=258)]
    max_response_tokens: Count


class RTPolarity(Piece):
    name = "rt_polarity"
    addresses = ("rlhf.data.sources.rt_polarity.RTPolarity", "rlhf.data.rt_polarity.RTPolarity")
    path: str
    seed: Seed
    prompt_words: Count
    prompts: Annotated[int, Field(ge=2)]
    pairs: Count
    label_temperature: Positive
    heldout_fraction: OpenShare
    vocabulary: Annotated[int, Field(ge=258)]
    max_response_tokens: Count


Data = Annotated[Reviews | Micro | JsonLines | RTPolarity | Custom, ByTarget()]
