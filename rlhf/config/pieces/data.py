from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationError

from rlhf.config.pieces.base import (
    ByTarget,
    Count,
    Custom,
    Form,
    NotNegative,
    Number,
    OpenShare,
    Piece,
    Place,
    Rows,
    Seed,
    Share,
    Size,
    Strict,
    Temperature,
)
from rlhf.data.readers.parts import columns_fault


def _known(columns: dict[str, str | None]) -> dict[str, str | None]:
    if fault := columns_fault(columns):
        raise ValueError(fault)
    return columns


COLUMNS = Form("names with values: text or null", "our names of columns")
Columns = Annotated[dict[str, str | None], AfterValidator(_known), COLUMNS]


class WeightedPlace(Strict):
    path: Place
    weight: Annotated[float, Field(gt=0, le=100)] = 1.0
    columns: Columns = {}


SHAPE = "{path: ..., weight: ..., columns: ...}"


def _places(value: Any) -> Any:
    """A path, a list of weighted places, or null; anything else is refused in one sentence."""
    if value is None:
        return None
    if isinstance(value, str):
        _place({"path": value}, "")
        return value
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"expected a path, or a list of {SHAPE}")
    return [
        _place({"path": each} if isinstance(each, str) else each, f"{i}.")
        for i, each in enumerate(value)
    ]


def _place(value: Any, where: str) -> dict[str, Any]:
    try:
        return WeightedPlace.model_validate(value).model_dump()
    except ValidationError as error:
        faults = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        key, reason = ".".join(map(str, faults[0]["loc"])), faults[0]["msg"]
        if faults[0]["type"] == "extra_forbidden":
            reason = f"no such key; a place has {', '.join(WeightedPlace.model_fields)}"
        if not key:
            reason = f"expected a path, or {SHAPE}"
        reason = reason.removeprefix("Value error, ").replace("Input should be", "expected")
        raise ValueError(f"{(where + key).strip('.')}: {reason}" if where else reason) from None


def _once(places: Any) -> Any:
    heavy = [place["weight"] for place in places or () if not isinstance(place, str)]
    if any(weight > 1 for weight in heavy):
        raise ValueError(f"weight {max(heavy):g}: a prompt is taken once; give at most 1")
    return places


FORM = Form("path, list or null", f"a file, folder, glob, hub:owner/name, or a list of {SHAPE}")
Places = Annotated[Any, AfterValidator(_places), FORM]


class Source(Piece):
    """`parts`: what it reads or writes itself. `has_gold`: whether responses can be labelled. A
    user's own class may say `parts` too."""

    parts: ClassVar[frozenset[str]] = frozenset({"demonstrations", "preferences", "prompts"})
    has_gold: ClassVar[bool] = True
    seed: Seed
    pairs: Rows
    label_temperature: Temperature
    max_response_tokens: Size | None  # None: conf/generation says it
    # configs that were kept from before there was a choice do not say these
    on_long_prompt: Literal["drop", "truncate_left", "error"] = "drop"
    template: Annotated[str, Field(min_length=1, max_length=2000)] = "auto"
    max_lost: Share = 0.05


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
    template: Literal["auto", "plain"] = "auto"  # its tokenizer knows letters alone
    # configs that were kept from before there was a choice do not say these
    peak: Annotated[NotNegative, Field(le=4)] = 2.0
    stop: Annotated[NotNegative, Field(lt=1)] = 0.3
    word: Literal["none", "likely", "any"] = "none"
    word_reward: Annotated[Number, Field(ge=-(10**3), le=10**3)] = 2.0
    error: Annotated[NotNegative, Field(le=10**3)] = 0.0
    error_degrees: Annotated[Number, Field(gt=0, le=10**3)] = 2.0


class Files(
    Texts,
    name="files",
    at="rlhf.data.sources.files.Files",
    was=("rlhf.data.sources.jsonl.JsonLines", "rlhf.data.jsonl.JsonLines"),
):
    demonstrations: Places
    preferences: Places
    prompts: Annotated[Places, AfterValidator(_once)]
    gold: Literal["vader"] | None
    license: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    columns: Columns | None = None
    on_bad_row: Literal["error", "skip"] = "error"

    def __hash__(self) -> int:
        """Of the content: places are lists, columns a dict, and equal data is read once."""
        return hash(repr(self))

    @property
    def parts(self) -> frozenset[str]:  # type: ignore[override]
        """Without a file of prompts they are those of another file."""
        files = {"demonstrations", "preferences", "prompts"}
        named = {name for name in files if getattr(self, name) is not None}
        return frozenset(named | {"prompts"} if named else named)

    @property
    def has_gold(self) -> bool:  # type: ignore[override]
        return self.gold is not None


class RTPolarity(
    Texts,
    name="rt_polarity",
    at="rlhf.data.sources.rt_polarity.RTPolarity",
    was="rlhf.data.rt_polarity.RTPolarity",
):
    parts = frozenset({"demonstrations", "prompts"})
    path: Place
    prompts: Annotated[int, Field(ge=2, le=10**7)]


Data = Annotated[Reviews | Micro | Files | RTPolarity | Custom, ByTarget()]
