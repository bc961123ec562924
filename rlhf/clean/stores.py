"""What could go of a store: artifacts that no run needs, and what lies beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rlhf.clean.needs import Needs
from rlhf.clean.ours import is_ours, not_ours
from rlhf.clean.things import Thing
from rlhf.inventory import ArtifactEntry, Disk, Inventory, Leftover
from rlhf.inventory.disk import disk_of, scan
from rlhf.inventory.stores import STORE
from rlhf.inventory.walk import folders
from rlhf.rundir.disk.aside import strays
from rlhf.rundir.disk.uses import last_used, users
from rlhf.rundir.noted import CONFIG, MANIFEST


def things_of(needs: Needs) -> Iterator[Thing]:
    for artifact in needs.inventory.artifacts:
        yield _artifact(artifact, needs)
    for leftover in needs.inventory.leftovers:
        yield _leftover(leftover, needs)
    for folder in sorted(_stage_folders(needs.inventory)):
        yield from strays_in(folder)


def _stage_folders(inventory: Inventory) -> set[Path]:
    """`<store>/<stage>/`, those that nothing is left in, too."""
    known = {artifact.directory.parent for artifact in inventory.artifacts}
    known |= {leftover.directory.parent for leftover in inventory.leftovers}
    stores = (root if root.name == STORE else root / STORE for root in inventory.roots)
    return known | {folder for store in stores for folder in folders(store)}


def _artifact(artifact: ArtifactEntry, needs: Needs) -> Thing:
    needed = needs.of_artifact(artifact)
    why = needed or not_ours(artifact)
    return Thing(
        kind="artifacts",
        path=artifact.directory,
        goes=not why,
        why=why or _unneeded(artifact),
        lock=artifact.directory,
        in_store=True,
        disk=artifact.disk,
        changed=max(artifact.changed or 0.0, last_used(artifact.directory) or 0.0),
    )


def _unneeded(artifact: ArtifactEntry) -> str:
    if artifact.run:
        return f"the policy of {artifact.run}, which is not there any more"
    gone = len(users(artifact.directory))
    used = f"; those that used it ({gone}) are not where they were" if gone else ""
    return f"no run in sight needs it{used}"


def _leftover(leftover: Leftover, needs: Needs) -> Thing:
    why = _stays(leftover, needs)
    words = {
        "work": "half-made by a process that is gone, and nobody goes on with it",
        "damaged": "set aside as damaged",
        "incomplete": "",
    }
    return Thing(
        kind="work",
        path=leftover.directory,
        goes=not why,
        why=why or words[leftover.kind],
        lock=leftover.directory.with_name(leftover.key.fingerprint),
        in_store=True,
        disk=leftover.disk,
        changed=leftover.changed,
    )


def _stays(leftover: Leftover, needs: Needs) -> str:
    if leftover.kind == "incomplete":
        return f"not recognised: it has no {MANIFEST}, so nothing says whose it is"
    if leftover.at_work:
        return "a process is at work in it"
    if not is_ours(leftover):
        return f"not recognised: neither its {MANIFEST} nor its {CONFIG} says what it was to become"
    return needs.of_work(leftover) if leftover.kind == "work" else ""


def strays_in(folder: Path) -> Iterator[Thing]:
    """Half-written files of processes that are gone, and folders that were on their way out."""
    for path in strays(folder):
        files = scan(path)
        if not files:  # somebody has cleared it since
            continue
        disk = disk_of(files) if not path.is_symlink() else Disk()
        half = "on its way out when a process was killed" if path.is_dir() else "half-written"
        yield Thing(
            kind="work",
            path=path,
            goes=True,
            why=f"{half}, and its process is gone",
            disk=disk,
            changed=files["."].st_mtime,
        )
