"""Settings that stand for a variable of the environment, as text: `${oc.env:KEY}`.

Such text is what files, hashes and other processes get; only who uses the value looks it up."""

from __future__ import annotations

import os
import re

# as `mark` writes it: with a default, that is null or quoted
VARIABLE = re.compile(
    r"\$\{oc\.env:\s*([^{},'\s]+)\s*(?:,\s*(null|'(?:[^'\\]|\\.)*'|[^{},'\s]+)\s*)?\}"
)


def mark(name: str, *default: str | None) -> str:
    """`${oc.env:KEY}`, or with a default `${oc.env:KEY,'text'}`."""
    if not default:
        return f"${{oc.env:{name}}}"
    word = default[0]
    quoted = "null" if word is None else "'{}'".format(re.sub(r"(['\\])", r"\\\1", str(word)))
    return f"${{oc.env:{name},{quoted}}}"


def filled(text: str) -> str:
    """The text with each variable's value in its place.

    Raises:
        ValueError: a variable is not set and has no default.
    """
    return VARIABLE.sub(_value, text)


def _value(match: re.Match[str]) -> str:
    name, default = match.groups()
    if name in os.environ:
        return os.environ[name]
    if default is None:
        raise ValueError(
            f"the config asks for {name} of the environment, which is not set: {name}=... rlhf ..."
        )
    return re.sub(r"\\(.)", r"\1", default[1:-1]) if default.startswith("'") else default
