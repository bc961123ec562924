"""What was written here, by what it says of itself; everything else is somebody's own."""

from __future__ import annotations

from pathlib import Path

from rlhf.inventory import ArtifactEntry, Leftover
from rlhf.inventory.disk import scan
from rlhf.rundir.noted import CONFIG, MANIFEST
from rlhf.rundir.read import collecting, read_json, read_yaml
from rlhf.stages.provenance.whole import FILES, LATER, WATCHED


def not_ours(artifact: ArtifactEntry) -> str:
    """Why a folder is not taken for an artifact that was published here; empty where it is."""
    manifest, place = artifact.manifest, artifact.directory.absolute()
    if damage := [words for words in artifact.damage if words.startswith(MANIFEST)]:
        return f"not recognised: {damage[0]}"
    own = (manifest.get("kind"), manifest.get("stage"), manifest.get("hash"))
    if own != ("artifact", place.parent.name, place.name):
        return f"not recognised: its {MANIFEST} is not that of {place.parent.name}/{place.name}"
    listed = manifest.get(FILES)
    if not isinstance(listed, dict):  # as versions before 0.2.0 wrote it
        return ""
    there = (name for name, stat in scan(place).items() if not stat.st_mode & 0o040000)
    others = sorted(
        name
        for name in there
        if name not in listed
        and name not in LATER
        and not Path(name).name.startswith((".", *WATCHED))
    )
    return f"it holds files that are not ours: {others[0]}" if others else ""


def is_ours(leftover: Leftover) -> bool:
    """Whether a folder beside artifacts says which of them it was to become, or was."""
    with collecting():
        manifest = read_json(leftover.directory / MANIFEST)
        if manifest.get("hash") == leftover.key.fingerprint:
            return True
        config = read_yaml(leftover.directory / CONFIG)
    return leftover.kind == "work" and config.get("stage") == leftover.key.stage
