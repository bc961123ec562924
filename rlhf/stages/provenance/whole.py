"""Whether an artifact is still what was published: the sha256 of its files, written into its
manifest then, looked at again once in every process that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.digests import file_digest
from rlhf.rundir.disk import sealed as seals
from rlhf.rundir.read import name_odd, read_json, read_object

FILES, SELF = "files", seals.MANIFEST  # keys of a manifest
LATER = ("manifest.json", "status.json")  # written after the files are listed
WATCHED = ("tracking.", "system.jsonl")  # how the trackers stand, and what they saw of the machine
# an added file of such a kind, or name, could change what transformers loads
LOADED = (
    *(".safetensors", ".bin", ".pt", ".gguf", ".model", ".py", ".jinja", "config.json"),
    *("index.json", "tokenizer.json", "added_tokens.json", "special_tokens_map.json"),
    *("vocab.json", "vocab.txt", "merges.txt"),
)
_Seen = tuple[tuple[str, int, int, int], ...]
_verdicts: dict[Path, tuple[_Seen, list[str]]] = {}


def listing(folder: Path) -> dict[str, dict[str, Any]]:
    """{"model.safetensors": {"bytes": ..., "sha256": ...}, ...} of what is published."""
    return {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in _published(folder)
    }


def sealed(manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The manifest with the listing of the folder's files and a digest of its own."""
    return seals.sealed({**manifest, FILES: listing(folder)}, SELF)


def damage(folder: Path) -> list[str]:
    """A sentence for each file of a published artifact that is not what it was; empty where all
    are, or where an older version listed none. Looks once in a process, and again where a file's
    size or time has changed."""
    seen = tuple(
        (str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
        for path in (folder / "manifest.json", *_published(folder))
        if path.is_file() and (stat := path.stat())
    )
    key = folder.absolute()
    if key not in _verdicts or _verdicts[key][0] != seen:
        _verdicts[key] = (seen, [*_look(folder)])
    return _verdicts[key][1]


def _look(folder: Path) -> Iterator[str]:
    manifest = read_object(folder / "manifest.json")
    if manifest is None or not isinstance(manifest.get("metrics"), dict):
        yield "manifest.json cannot be read"
        return
    if FILES not in manifest and SELF not in manifest:
        name_odd(
            folder / "manifest.json",
            "it lists no digests, as versions before 0.2.0 wrote none: the artifact is taken as it"
            " is, and damage would not be seen",
        )
        return
    if manifest.get(SELF) != seals.own_digest(manifest, SELF):
        yield "manifest.json is not what was written"
    # as far as it is a listing
    listed = read_json(folder / "manifest.json").get(FILES) or {}
    for name, then in listed.items():
        path = folder / name
        if not path.is_file():
            yield f"{name} is gone"
        elif (size := path.stat().st_size) != then["bytes"]:
            yield f"{name} has {size} bytes of {then['bytes']}"
        elif file_digest(path) != then["sha256"]:
            yield f"{name} is not what was written"
    for path in _published(folder):
        name = str(path.relative_to(folder))
        if name not in listed and name.endswith(LOADED):
            yield f"{name} was added later"


def _published(folder: Path) -> list[Path]:
    """Its files, without the checkpoints of one that is in the making."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name not in LATER
        and not path.name.startswith((".", *WATCHED))
        and path.relative_to(folder).parts[0] != "checkpoints"
    )
