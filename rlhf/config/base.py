"""What every node of the config is made of: strict models, and unions told apart by `_target_`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from rlhf.config.allow import user_allowed

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
KLUnit = Literal["sequence", "token"]


class Strict(BaseModel):
    """A node of the config: no other keys, no silent conversion, finite numbers, unchangeable."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


class Custom(BaseModel):
    """A class of the user's own with whatever arguments it takes."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    class_path: str = Field(alias="_target_")


CUSTOM = "custom piece"


class ByTarget:
    """Annotates a union of pieces: which of them a node is stands in its `_target_`."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        members = [model for model in get_args(source) if model is not Custom]
        names = {
            name: model
            for model in members
            for name in get_args(model.model_fields["class_path"].annotation)
        }

        def tag(value: Any) -> str:
            target = (
                value.get("_target_")
                if isinstance(value, dict)
                else getattr(value, "class_path", None)
            )
            return CUSTOM if target not in names and user_allowed(target) else str(target)

        choices = {
            name: handler.generate_schema(model)
            for name, model in {**names, CUSTOM: Custom}.items()
        }
        return core_schema.tagged_union_schema(choices, tag)
