"""The artifacts of a store, and the folders beside them that are none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.inventory.disk import Files, disk_of, newest, scan
from rlhf.inventory.entries import ArtifactEntry, Key, Kind, Leftover
from rlhf.inventory.needs import base_of
from rlhf.rundir.disk.owner import is_alive
from rlhf.rundir.disk.sealed import MANIFEST as SEAL, is_whole
from rlhf.rundir.read import collecting, read_object
from rlhf.rundir.shapes import fitting
from rlhf.rundir.status import read_status

STORE = "artifacts"  # the name of a folder that holds `<stage>/<fingerprint>`
MANIFEST = "manifest.json"
_FINGERPRINT = re.compile(r"[0-9a-f]{8,}")
_LEFT = re.compile(r"(?P<own>.+?)(?:(?P<work>\.work)|\.incomplete-\d+|(?P<damaged>\.damaged\d*))")


def artifact_or_leftover(directory: Path) -> ArtifactEntry | Leftover:
    """What lies at `<stage>/<fingerprint>`."""
    match = _LEFT.fullmatch(directory.name)
    if match is None:
        return read_artifact(directory)
    kind: Kind = "work" if match["work"] else "damaged" if match["damaged"] else "incomplete"
    files = scan(directory)
    with collecting():
        status = read_status(directory) if kind == "work" else {}
    alive = is_alive(status) if status.get("state") == "running" else False
    return Leftover(
        key=Key(directory.absolute().parent.name, match["own"]),
        kind=kind,
        directory=directory,
        at_work=alive if status else None if kind == "work" else False,
        changed=newest(files),
        disk=disk_of(files),
    )


def read_artifact(directory: Path) -> ArtifactEntry:
    """The artifact in a directory. Its files are asked for their size, not read."""
    files, place = scan(directory), directory.absolute()
    with collecting():
        whole = read_object(directory / MANIFEST)
        manifest = fitting(MANIFEST, whole or {})[0] or {}
        bases = base_of(directory, files)
    prints = manifest.get("fingerprints", {})
    stat = files.get(MANIFEST)
    return ArtifactEntry(
        key=Key(str(manifest.get("stage") or place.parent.name), place.name),
        directory=directory,
        damage=tuple(_damage(files, whole)),
        parents=tuple(Key(name, own) for name, own in prints.items() if name != "data"),
        reads=tuple(bases),
        run=manifest.get("run"),
        changed=newest(files) if stat is None else stat.st_mtime,
        disk=disk_of(files),
        manifest=manifest,
    )


def _damage(files: Files, manifest: dict[str, Any] | None) -> Iterator[str]:
    if manifest is None:
        yield f"{MANIFEST} {'cannot be read' if MANIFEST in files else 'is gone'}"
        return
    if not is_whole(manifest, SEAL):
        yield f"{MANIFEST} is not what was written"
    listed = manifest.get("files")
    for name, then in listed.items() if isinstance(listed, dict) else ():
        size = then.get("bytes") if isinstance(then, dict) else None
        if name not in files:
            yield f"{name} is gone"
        elif size is not None and files[name].st_size != size:
            yield f"{name} has {files[name].st_size} bytes of {size}"


def is_artifact(directory: Path) -> bool:
    """By its place and its name, or by its manifest."""
    own, match = directory.absolute(), _LEFT.fullmatch(directory.name)
    name = match["own"] if match else own.name
    if own.parent.parent.name == STORE and _FINGERPRINT.fullmatch(name):
        return True
    with collecting():
        return (read_object(directory / MANIFEST) or {}).get("kind") == "artifact"
