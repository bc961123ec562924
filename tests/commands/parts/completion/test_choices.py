"""The values of a key, read from the schema's source: those that the schema itself knows."""

from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from rlhf.commands.parts.completion.choices import of_key
from rlhf.config.described.contents import contents
from rlhf.config.described.kinds import field_at


def known(annotation):
    """The values of a type that has few."""
    if get_origin(annotation) is Annotated:
        return known(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    if annotation is bool:
        return ["true", "false"]
    if get_origin(annotation) not in (Union, UnionType):
        return []
    parts = [known(part) for part in get_args(annotation) if part is not type(None)]
    null = ["null"] if type(None) in get_args(annotation) else []
    return [value for part in parts for value in part] + null


def test_every_key_has_the_values_of_the_schema():
    seen = 0
    for group, options in contents().files.items():
        for option in options:
            targets = contents().option(group, option).targets
            for key in contents().own_keys(group, option):
                if (field := field_at(key, targets)) is None:
                    continue
                expected = [v for v in known(field.annotation) if v != "null"]
                if expected:
                    seen += 1
                    offered = [value for value in of_key(key, targets) if value != "null"]
                    assert offered == expected, key
    assert seen > 200
