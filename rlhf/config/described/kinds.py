"""The type and the range of a field of the schema, in words."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rlhf.config.pieces.base import BY_ADDRESS, Custom, Form, Piece
from rlhf.config.schema import Config

ANY = "any"
WORDS = {
    float: "number",
    int: "whole number",
    bool: "true or false",
    str: "text",
    type(None): "null",
    dict: "keys and values",
    list: "list",
}


class Kind(NamedTuple):
    """What may stand in a place."""

    type: str
    range: str


def kind(annotation: Any, metadata: Iterable[Any] = ()) -> Kind:
    """What an annotation takes: `Kind("number", ">= 0")`."""
    origin, metadata = get_origin(annotation), [*metadata]
    if form := next((each for each in metadata if isinstance(each, Form)), None):
        return Kind(form.type, form.range)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return kind(inner, [part for each in more for part in getattr(each, "metadata", [each])])
    if origin in (Union, types.UnionType):
        return _union([part for part in get_args(annotation) if part is not Custom], metadata)
    if origin is Literal:
        choices = [*map(str, get_args(annotation))]
        return Kind("one of these" if len(choices) > 1 else "this", ", ".join(choices))
    if origin in (list, tuple):
        inner = kind(next(iter(get_args(annotation))))
        least = any(getattr(each, "min_length", 0) for each in metadata)
        count = f" of {len(get_args(annotation))}" if origin is tuple else ""
        return Kind(f"list{count}: {inner.type}", inner.range + ("; not empty" if least else ""))
    if origin is dict:
        inner = kind(get_args(annotation)[1])
        return Kind(f"names with values: {inner.type}", inner.range)
    if isinstance(annotation, type) and issubclass(annotation, Piece):
        return Kind("piece", annotation.name)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Kind("keys and values", ", ".join(annotation.model_fields))
    return Kind(WORDS.get(annotation, "any"), _range(annotation, metadata))


def of_value(value: Any) -> Kind:
    """What a place takes that no schema knows, told by the value that it has."""
    if value is None:
        return Kind("any or null", ANY)
    return Kind(WORDS.get(type(value), "any"), "true, false" if isinstance(value, bool) else ANY)


def _union(parts: list[Any], metadata: list[Any]) -> Kind:
    pieces = [part for part in parts if isinstance(part, type) and issubclass(part, Piece)]
    if pieces:
        return Kind("piece", ", ".join(dict.fromkeys(part.name for part in pieces)))
    null = type(None)
    each = [kind(part, metadata if part is not null else ()) for part in parts]
    ranges = [part.range for part, it in zip(each, parts, strict=True) if it is not null]
    told = list(dict.fromkeys(words for words in ranges if words != ANY)) or [ANY]
    return Kind(" or ".join(dict.fromkeys(part.type for part in each)), "; ".join(told))


SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def _range(annotation: Any, metadata: list[Any]) -> str:
    if annotation is bool:
        return "true, false"
    limits = [
        f"{sign} {_number(limit)}"
        for name, sign in SIGNS.items()
        for each in metadata
        if (limit := getattr(each, name, None)) is not None
    ]
    lengths = [
        f"{sign} {limit:,} character{'s' if limit > 1 else ''}"
        for name, sign in (("min_length", "at least"), ("max_length", "at most"))
        for each in metadata
        if (limit := getattr(each, name, None)) is not None
    ]
    patterns = [each.pattern for each in metadata if getattr(each, "pattern", None)]
    named = ["letters, digits, _" + (", -, ." if "." in patterns[0] else "")] if patterns else []
    return " and ".join([*named, *limits, *lengths]) or ANY


def _number(limit: float) -> str:
    powers = {2**63: "2^63", 2**31: "2^31"}
    return powers.get(int(limit)) or f"{limit:,}"


def field_at(name: str, targets: Mapping[str, str]) -> FieldInfo | None:
    """The schema's field at a dotted name; None where the schema does not know it.

    Args:
        targets: the addresses of the pieces on the way, by their places.
    """
    annotation: Any = Config
    field, parts = None, name.split(".")
    for i, part in enumerate(parts):
        node = _bare(annotation)
        if get_origin(node) is dict:
            field = None
            annotation = get_args(node)[1]
            continue
        if not hasattr(node, "model_fields"):
            node = BY_ADDRESS.get(targets.get(".".join(parts[:i]), ""))
        if node is None or part not in node.model_fields:
            return None
        field = node.model_fields[part]
        annotation = field.annotation
    return field or FieldInfo(annotation=annotation)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
