"""JSON objects that carry a digest of their own content, so that a change is seen in them that
leaves whole JSON: a flipped bit, a wrong hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.digests import digest
from rlhf.rundir.files import plain_number, write_json
from rlhf.rundir.read import name_odd, read_json, read_object

MANIFEST = "manifest_sha256"  # the digest's key in a manifest
OTHER = "sha256"  # in any other file


def sealed(value: Mapping[str, Any], key: str = OTHER) -> dict[str, Any]:
    """The object with the digest of all else that is in it."""
    return {**value, key: own_digest(value, key)}


def own_digest(value: Mapping[str, Any], key: str = OTHER) -> str:
    """As it is read again: JSON has no tuples, no nan, and only text for keys."""
    plain = {name: plain_number(item) for name, item in value.items() if name != key}
    return digest(json.loads(json.dumps(plain)))


def is_whole(value: Mapping[str, Any], key: str = OTHER) -> bool:
    """False where an object is not what its digest says. One of an older version has none."""
    if key not in value:
        return True
    # as it was read, which is nearly always what was written, and takes a third of the time
    as_it_is = digest({name: item for name, item in value.items() if name != key})
    return bool(value[key] == as_it_is or value[key] == own_digest(value, key))


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    write_json(path, sealed({name: item for name, item in value.items() if name != OTHER}))


def read_sealed(path: Path) -> dict[str, Any]:
    """The object in `path` without its digest, as `read_json` has it; empty, and named, where it is
    not what was written."""
    value = read_object(path)
    if value is not None and not is_whole(value):
        name_odd(path, "it is not what was written: it counts as missing")
        return {}
    return {name: item for name, item in read_json(path).items() if name != OTHER}


def is_damaged(path: Path, *, needed: bool = False) -> bool:
    """Whether a file holds no whole object, or another than was written.

    Args:
        needed: also where there is none, or it has no digest.
    """
    value = read_object(path) if path.exists() else {}
    return value is None or not is_whole(value) or (needed and OTHER not in value)
