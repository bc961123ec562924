"""Type and range of a field of the schema in words."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from rlhf.config.described.kinds import field_at, kind, of_value
from rlhf.config.pieces.base import Count, Duration, Place, Positive, Share, Weight
from rlhf.config.pieces.kl import Controller

ADAPTIVE = {"kl.controller": "rlhf.kl.controller.Adaptive"}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (bool, ("true or false", "true, false")),
        (str, ("text", "any")),
        (Positive, ("number", "> 0")),
        (Weight | None, ("number or null", ">= 0 and <= 1,000,000")),
        (Share, ("number", ">= 0 and <= 1")),
        (Count, ("whole number", ">= 1 and < 2^31")),
        (Literal["a", "b"], ("one of these", "a, b")),
        (bool | Literal["auto"], ("true or false or this", "true, false; auto")),
        (list[Weight], ("list: number", ">= 0 and <= 1,000,000")),
        (Place, ("path", "any")),
        (Duration | None, ("duration or null", "90s, 30m, 2h, 1h30m, or a number of minutes")),
        (Annotated[str, Field(min_length=1)], ("text", "at least 1 character")),
        (int | str | None, ("whole number or text or null", "any")),
    ],
)
def test_in_words(annotation, expected):
    assert kind(annotation) == expected


def test_a_union_of_pieces_has_their_names():
    assert kind(Controller) == (
        "piece",
        "fixed, adaptive, adaptive_alpaca_farm, linear, cosine, path, pid, dual",
    )


def test_what_no_schema_knows_is_told_by_its_value():
    assert of_value(3) == ("whole number", "any")
    assert of_value(None) == ("any or null", "any")


def test_a_field_is_found_by_its_dotted_name():
    iterations = field_at("ppo.iterations", {})
    assert kind(iterations.annotation, iterations.metadata) == ("whole number", ">= 1 and < 2^31")
    horizon = field_at("kl.controller.horizon", ADAPTIVE)
    assert kind(horizon.annotation, horizon.metadata) == ("number", "> 0")
    assert kind(field_at("callbacks.mine", {}).annotation).type == "piece"


def test_what_the_schema_does_not_know_has_no_field():
    assert field_at("ppo.iteration", {}) is None
    assert field_at("kl.controller.horizon", {}) is None
    assert field_at("hydra.launcher.jobs", {}) is None
