"""The faults of a config in words: a key with its value, what was expected, what was probably
meant."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from rlhf.config.allow import refusal
from rlhf.config.composition.resolve import Fault
from rlhf.config.hints.aliases import in_words
from rlhf.config.hints.nearest import did_you_mean as did_you_mean, nearest as nearest
from rlhf.config.naming import MOVED
from rlhf.config.pieces.base import BY_ADDRESS, CUSTOM, Piece, members_of
from rlhf.config.schema import Config
from rlhf.rundir.secrets.redact import HIDDEN, redact_text

WORDS = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    type(None): "null",
    dict: "keys and values",
}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
NARROW = (
    ": weights of 16 bits lose the small steps of training; trainer.precision=bf16-mixed or"
    " bf16-true computes in 16 bits and keeps them in 32"
)
HINTS = {
    **{("model.dtype", dtype): NARROW for dtype in ("float16", "auto", "None")},
    **{
        ("trainer.precision", half): (
            f"; {half} skips steps when its loss scale overflows, so a run could not be repeated"
            " exactly"
        )
        for half in ("16-mixed", "16-true", "16", "fp16", "float16")
    },
}


def show(value: Any) -> str:
    """A value as one would write it in YAML, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def is_guard(sign: str, limit: float) -> bool:
    """True for a limit that nobody meets who does not test it: not told unless it was passed."""
    return 100 <= limit < 2**63 if sign in ("le", "lt") else limit <= -100


def describe(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type and its range in words: `a number >= 0`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return describe(
            inner, [part for item in more for part in getattr(item, "metadata", [item])]
        )
    if origin in (Union, types.UnionType):
        return " or ".join(
            describe(part, metadata if part is not type(None) else ())
            for part in get_args(annotation)
        )
    if origin is Literal:
        choices = get_args(annotation)
        return f"one of {', '.join(map(str, choices))}" if len(choices) > 1 else str(choices[0])
    if origin is tuple:
        return f"a list of {len(get_args(annotation))} values"
    if origin is list:
        each = describe(get_args(annotation)[0])
        least = any(getattr(item, "min_length", None) for item in metadata)
        return f"a list in brackets, each {each}{', one at least' if least else ''}"
    if origin is dict or isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys and values"
    if annotation is str and any(getattr(item, "pattern", None) for item in metadata):
        return "a name of letters, digits, '_', '-' and '.'"
    limits = " and ".join(
        f"{sign} {'2^63' if limit == 2**63 else limit}"
        for item in metadata
        for name, sign in SIGNS.items()
        if (limit := getattr(item, name, None)) is not None and not is_guard(name, limit)
    )
    return f"{WORDS.get(annotation, 'another value')} {limits}".rstrip()


def path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in BY_ADDRESS and part != CUSTOM)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _expected(location: tuple[int | str, ...]) -> tuple[Any, list[Any]]:
    """The type at a fault's place, and its limits; (None, []) where nothing is known."""
    expected: tuple[Any, list[Any]] = (Config, [])
    for part in location:
        here = _bare(expected[0])
        if part in BY_ADDRESS:
            expected = (members_of(here)[str(part)], [])
        elif get_origin(here) is dict:
            expected = (get_args(here)[1], [])
        elif get_origin(here) is tuple and isinstance(part, int):
            expected = (get_args(here)[part], [])
        else:
            fields = getattr(here, "model_fields", {}).items()
            field = next((f for name, f in fields if part in (name, f.alias)), None)
            expected = (field.annotation, field.metadata) if field else (None, [])
    return expected


def pieces_at(where: str) -> list[type[Piece]]:
    """Our pieces that may stand at a dotted key; none where no piece does."""
    annotation = _bare(_expected(tuple(where.split(".")))[0])
    members = [part for part in get_args(annotation) if isinstance(part, type)]
    return [part for part in members if issubclass(part, Piece)]


def leaves(plain: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every dotted key of a plain config, nodes included."""
    keys = []
    for key, value in plain.items():
        inner = leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else ()
        keys += [f"{prefix}{key}", *inner]
    return [name for name in keys if not name.endswith(("_target_", "_name_", "_code_"))]


def _unknown_key(error: ErrorDetails, plain: Mapping[str, Any]) -> Fault:
    location = error["loc"]
    where = path(location)
    parent, _, last = where.rpartition(".")
    node = _bare(_expected(location[:-1])[0])
    if where in MOVED:
        return Fault(f"{where}={show(error['input'])}", f"is {MOVED[where]} now")
    own = [name for name, field in node.model_fields.items() if field.alias is None]
    if hint := in_words(where, {*leaves(plain)}.__contains__):
        return Fault(f"{where}={show(error['input'])}", f"no such key{hint}")
    if meant := nearest(last, own):
        hint = f"; did you mean {f'{parent}.{meant}' if parent else meant}?"
    else:
        piece = BY_ADDRESS.get(str(location[-2])) if len(location) > 1 else None
        whose = f"{parent}{f' ({piece.name})' if piece else ''}"
        hint = f"; {whose} has {', '.join(own) or 'no keys'}" if parent else ""
        hint += did_you_mean(where, (name for name in leaves(plain) if name != where))
    return Fault(f"{where}={show(error['input'])}", f"no such key{hint}")


def _wrong_piece(error: ErrorDetails) -> Fault:
    where, value = path(error["loc"]), error["input"]
    target = value.get("_target_") if isinstance(value, Mapping) else None
    if target is None:
        named = get_origin(_bare(_expected(error["loc"][:-1])[0])) is dict
        # the one group that is chosen at several places
        group = f"optimizer@{where}" if where.endswith(".optimizer") else where.replace(".", "/")
        hint = "" if named else f"; {group}=<option> chooses one"
        return Fault(f"{where}={show(value)}", f"expected a piece with a _target_{hint}")
    meant = did_you_mean(str(target), members_of(_bare(_expected(error["loc"])[0])))
    return Fault(f"{where}._target_={target}", f"{refusal(target)}{meant}")


def fault(error: ErrorDetails, plain: Mapping[str, Any]) -> Fault:
    """One pydantic error about the plain config."""
    where, value, kind = path(error["loc"]), error["input"], error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(error, plain)
    if kind.startswith("union_tag"):
        return _wrong_piece(error)
    if kind == "value_error":
        return Fault(f"{where}={_shown(where, value)}", error["msg"].removeprefix("Value error, "))
    if kind == "missing":
        return Fault(where, "is missing")
    annotation, limits = _expected(error["loc"])
    choices = get_args(annotation) if kind == "literal_error" else ()
    hint = HINTS.get((where, str(value)), "") or did_you_mean(str(value), map(str, choices))
    if kind == "string_type" and isinstance(value, (int, float)):
        hint = f"; to give text, quote it twice: {where}=\"'{value}'\""
    if kind == "finite_number":
        hint = "; it must be finite"
    if kind == "string_too_long":
        hint = f"; of {error['ctx']['max_length']} characters at most"
    for sign, limit in (error.get("ctx") or {}).items():
        if sign in SIGNS and is_guard(sign, limit):
            hint = f"; it must be {SIGNS[sign]} {limit:,}"
    expected = (
        describe(annotation, limits)
        if annotation is not None
        else error["msg"].removeprefix("Input should be ")
    )
    return Fault(f"{where}={show(value)}", f"expected {expected}{hint}")


NAMES_A_KEY = "api_key_env"  # where somebody may have put the key itself


def _shown(where: str, value: Any) -> str:
    """A refused value as a message shows it: without a key or a login."""
    if where.rpartition(".")[2] == NAMES_A_KEY:
        return HIDDEN
    return show(redact_text(value) if isinstance(value, str) else value)
