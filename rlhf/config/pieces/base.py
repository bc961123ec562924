"""The stuff of the config's nodes: strict models, and unions told apart by `_target_`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    create_model,
    field_validator,
)
from pydantic_core import CoreSchema, core_schema

from rlhf.config.allow import user_allowed
from rlhf.rundir.words import seconds_of


class Form(NamedTuple):
    """Annotates a type whose range no limit of pydantic's says: both in words, for help and for
    the reference of all keys."""

    type: str
    range: str


def duration(value: object) -> object:
    """The value, if `rlhf.rundir.words.seconds_of` takes it."""
    seconds_of(value)
    return value


SMALLEST, LARGEST = 1e-30, 1e30


def _held(value: float) -> float:
    """What is computed with is a number of 32 bits: 1e-300 would be 0 there, 1e300 infinite."""
    if value and not SMALLEST <= abs(value) <= LARGEST:
        raise ValueError(
            f"expected a size from {SMALLEST:g} to {LARGEST:g}, which numbers of 32 bits hold"
        )
    return value


# Upper limits are guards: far above all that is sane, below what would break a run or the machine.
Number = Annotated[float, AfterValidator(_held)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Rate = Annotated[Number, Field(gt=0, le=100)]
Weight = Annotated[Number, Field(ge=0, le=10**6)]
Temperature = Annotated[float, Field(ge=1e-3, le=1000)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Size = Annotated[int, Field(ge=1, le=10**6)]  # of what lies in memory at once
Rows = Annotated[int, Field(ge=1, le=10**7)]  # that are generated
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
DURATION = Form("duration", "90s, 30m, 2h, 1h30m, or a number of minutes")
Duration = Annotated[Any, BeforeValidator(duration), DURATION]
KLUnit = Literal["sequence", "token"]


def _place(value: str) -> str:
    reasons = {
        "is empty; name a path": not value.strip(),
        "no path can have a NUL in it": "\0" in value,
        "a name in it has more than 255 bytes": any(
            len(part.encode(errors="replace")) > 255 for part in value.split("/")
        ),
        "has more than 2000 bytes": len(value.encode(errors="replace")) > 2000,
    }
    for reason, true in reasons.items():
        if true:
            raise ValueError(reason)
    return value


# of a file or a folder
Place = Annotated[str, AfterValidator(_place), Form("path", "any")]


class Strict(BaseModel):
    """A node of the config: no other keys, no silent conversion, finite numbers, unchangeable."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


CUSTOM = "custom piece"
BY_ADDRESS: dict[str, type[Piece]] = {}  # every piece of ours, where it lives and where it lived


class Piece(Strict):
    """A leaf of the config: the arguments of a class, known by its YAML's name.

    Where the class lives decides nothing: `addresses` has where it is (`at`) and, after that, where
    it was, so that a config that was kept still loads.
    """

    name: ClassVar[str]
    addresses: ClassVar[tuple[str, ...]]
    # its class takes `${oc.env:KEY}` as it is written, and looks it up where the value is needed
    looks_up: ClassVar[bool] = False
    # fields with the dotted path of a function of the user's own, which its class gets in its place
    callables: ClassVar[tuple[str, ...]] = ()
    class_path: str = Field(alias="_target_")

    def __init_subclass__(
        cls, name: str = "", at: str = "", was: str | tuple[str, ...] = (), **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        before = (was,) if isinstance(was, str) else was
        cls.name, cls.addresses = name, tuple(filter(None, (at, *before)))
        BY_ADDRESS.update(dict.fromkeys(cls.addresses, cls))

    @property
    def inner(self) -> tuple[Any, ...]:
        """The pieces that it is made of; of most none."""
        return ()

    @field_validator("class_path")
    @classmethod
    def _where_it_lives_now(cls, address: str) -> str:
        return cls.addresses[0]


def without_arguments(module: str, **classes: str) -> tuple[type[Piece], ...]:
    """A piece for each class of a module that takes no arguments, by the name of its YAML."""
    return tuple(
        create_model(cls, __base__=Piece, __cls_kwargs__={"name": name, "at": f"{module}.{cls}"})
        for name, cls in classes.items()
    )


class Custom(BaseModel):
    """A class of the user's own with whatever arguments it takes. Its name is that of its YAML:
    composition writes it down as `_name_`."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    class_path: str = Field(alias="_target_")
    name: str = Field(default="", alias="_name_")


class ByTarget:
    """Annotates a union of pieces: which of them a node is stands in its `_target_`."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        members = members_of(source)

        def tag(value: Any) -> str:
            target = (
                value.get("_target_")
                if isinstance(value, dict)
                else getattr(value, "class_path", None)
            )
            ours = isinstance(target, str) and target in members
            return CUSTOM if not ours and user_allowed(target) else str(target)

        choices = {
            address: handler.generate_schema(model)
            for address, model in {**members, CUSTOM: Custom}.items()
        }
        return core_schema.tagged_union_schema(choices, tag)


def members_of(union: Any) -> dict[str, type[Piece]]:
    """Our pieces of a union, by each of their addresses."""
    pieces = [model for model in get_args(union) or (union,) if model is not Custom]
    return {address: model for model in pieces for address in model.addresses}


def arguments(piece: Piece | Custom) -> dict[str, Any]:
    """The arguments that the piece's class is called with."""
    return piece.model_dump(exclude={"class_path", "name", "code"})


def piece_name(node: Mapping[str, Any]) -> str:
    """The YAML name of a node that has a `_target_`; of a class that was never named so, its
    address."""
    target = str(node["_target_"])
    return BY_ADDRESS[target].name if target in BY_ADDRESS else str(node.get("_name_") or target)
