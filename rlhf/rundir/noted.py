"""What a finished run noted of its files when it ended, and which of them are not that any more.

The digests stand in its manifest, which has one of its own. Not noted is what changes later:
status.json and tracking.json have a digest in themselves. No torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.digests import file_digest
from rlhf.rundir.disk import sealed
from rlhf.rundir.disk.aside import strays
from rlhf.rundir.files import flatten, json_text, write_json, write_text
from rlhf.rundir.read import name_odd, read_json, read_object
from rlhf.rundir.records import FILES
from rlhf.rundir.status import STATUS, is_finished

REALIGN = "realign.json"  # measured at a run's end, or later by a command of its own
RESULTS = ("best_of_n.json", "oracle.json", REALIGN)  # written once; where the run makes them
POLICY = "policy"  # the folder of what it ended with
SUMMARY, MANIFEST, KEY = "summary.json", "manifest.json", "records"
LEGS, CONFIG = "legs.json", "config.yaml"
# how the run was made: no result is lost with one of these
BESIDE = (CONFIG, LEGS, "data_report.json")
SMALL = 1 << 20  # bytes of a file of the policy that is always read; of a larger one the time tells


def conclude(directory: Path, summary: Mapping[str, Any]) -> None:
    """Notes the digests of all that the run wrote, then writes its summary: now it is finished."""
    text, path = json_text(summary), directory / MANIFEST
    noted = {**digests(directory), SUMMARY: digest_of(text.encode())}
    write_manifest(path, {**read_json(path), KEY: noted})
    write_text(directory / SUMMARY, text)


def write_manifest(path: Path, content: Mapping[str, Any]) -> None:
    """The manifest of a run, with its own digest."""
    write_json(path, sealed.sealed(content, sealed.MANIFEST))


def forget(directory: Path) -> None:
    """Of a run that is made again: what it noted is not so any more."""
    manifest = read_json(directory / MANIFEST)
    if manifest.pop(KEY, None) is not None:
        write_manifest(directory / MANIFEST, manifest)


def add(directory: Path, name: str, content: Mapping[str, Any]) -> None:
    """Writes a file of a run that has ended, or another in its place, and notes it. Killed at any
    moment, nothing that is noted is missing or another."""
    drop(directory, name)
    text = json_text(content)
    write_text(directory / name, text)
    manifest = read_json(directory / MANIFEST)
    if isinstance(records := manifest.get(KEY), dict):
        noted_now = {**records, name: digest_of(text.encode())}
        write_manifest(directory / MANIFEST, {**manifest, KEY: noted_now})


def drop(directory: Path, name: str) -> None:
    """A file that is no longer noted, whatever becomes of it."""
    manifest = read_json(directory / MANIFEST)
    if isinstance(records := manifest.get(KEY), dict) and name in records:
        others = {each: then for each, then in records.items() if each != name}
        write_manifest(directory / MANIFEST, {**manifest, KEY: others})


def digests(directory: Path) -> dict[str, dict[str, Any]]:
    """{"metrics.jsonl": {"rows": 61, "sha256": ...}, ...} of what the run recorded, and
    {"policy/config.json": {"bytes": 713, "sha256": ..., "time": ...}, ...} of its policy."""
    there = [directory / name for name in (*FILES, *RESULTS, *BESIDE)]
    rows = {path.name: digest_of(path.read_bytes()) for path in there if path.exists()}
    policy = sorted(path for path in (directory / POLICY).glob("*") if path.is_file())
    return rows | {f"{POLICY}/{path.name}": _file_digest(path) for path in policy}


def digest_of(data: bytes) -> dict[str, Any]:
    return {"rows": data.count(b"\n"), "sha256": hashlib.sha256(data).hexdigest()}


def _file_digest(path: Path) -> dict[str, Any]:
    """The file's time spares reading large weights again."""
    stat = path.stat()
    return {"bytes": stat.st_size, "sha256": file_digest(path), "time": stat.st_mtime_ns}


def is_policy_file(path: Path, then: Any) -> bool:
    """Whether a file of a policy is what it was: a large one by its size and time, else by its
    content."""
    if not path.is_file() or not isinstance(then, dict):
        return False
    stat = path.stat()
    same = (then.get("bytes"), then.get("time")) == (stat.st_size, stat.st_mtime_ns)
    return (same and stat.st_size > SMALL) or then.get("sha256") == file_digest(path)


def is_noted(directory: Path, name: str, data: bytes) -> bool:
    """True if a finished run's file was this when the run ended."""
    return noted(directory).get(name) == digest_of(data)


def noted(directory: Path) -> Mapping[str, Any]:
    """`digests` as they were when the run ended; empty where it did not note them."""
    then = read_json(directory / MANIFEST).get(KEY)
    return then if isinstance(then, dict) else {}


def manifest_damage(directory: Path) -> str:
    """Why the manifest of a run is not believed; empty where it is: of an older version, it has no
    digest."""
    path = directory / MANIFEST
    manifest = read_object(path)
    if manifest is None:
        return f"{MANIFEST} cannot be read" if path.exists() else ""
    return "" if is_sealed(manifest) else f"{MANIFEST} is not what was written"


def is_sealed(manifest: Mapping[str, Any]) -> bool:
    """Whether a run's manifest, as it was read, is what was written: by its digest, which one that
    noted its files must have."""
    noted = manifest.get(KEY)
    since_it_was_sealed = isinstance(noted, dict) and SUMMARY in noted
    lacks = since_it_was_sealed and sealed.MANIFEST not in manifest
    return not lacks and sealed.is_whole(manifest, sealed.MANIFEST)


def losses(directory: Path, *, policy: bool = True) -> dict[str, str]:
    """What of a finished run's files is not what it was, by name: `metrics.jsonl has 0 of 61
    lines`. Nothing of a run of an older version, which did not note their digests.

    Args:
        policy: the files of its policy, too.
    """
    if damage := manifest_damage(directory):
        return {MANIFEST: damage}  # nothing that it says of others is believed
    sentences = {}
    for name, then in noted(directory).items():
        path = directory / name
        if name.startswith(f"{POLICY}/"):
            if policy and not is_policy_file(path, then):
                sentences[name] = f"{name} is {'not what was written' if path.exists() else 'gone'}"
            continue
        now = digest_of(path.read_bytes()) if path.is_file() else None
        if now is None:
            sentences[name] = f"{name} is gone"
        elif now != then:
            lines = then.get("rows") if isinstance(then, dict) else None
            short = name in FILES and lines is not None and lines != now["rows"]
            words = f"has {now['rows']} of {lines} lines" if short else "is not what was written"
            sentences[name] = f"{name} {words}"
    if sealed.is_damaged(directory / STATUS, needed=SUMMARY in noted(directory)):
        sentences[STATUS] = f"{STATUS} is not what was written"
    return sentences


def lost_results(directory: Path) -> dict[str, str]:
    """The losses without those of files that say how the run was made: the run is refused where
    these cannot be put back."""
    others = (MANIFEST, STATUS, *BESIDE)
    return {name: words for name, words in losses(directory).items() if name not in others}


def name_losses(directory: Path) -> None:
    """Names, for whoever reads a run, what of it is not what it was; its policy is not looked
    at."""
    if (directory / SUMMARY).exists():
        for sentence in losses(directory, policy=False).values():
            name_odd(directory, f"{sentence} when it ended")


def has_undone(directory: Path) -> bool:
    """True if a finished run has checkpoints yet that it did not wish to keep, as a kill while they
    were removed leaves them, or half-written files."""
    if strays(directory):
        return True
    kept = flatten(read_json(directory / MANIFEST).get("config") or {})
    wish, folder = kept.get("checkpoints.after_finish"), directory / "checkpoints"
    if wish == "last":
        return len([*folder.glob("iteration-*.sha256")]) > 1 or any(folder.glob("*.damaged*"))
    return wish == "none" and folder.exists()


def is_complete(directory: Path) -> bool:
    """True if the directory holds a run that ended by itself, with all that it wrote, and nothing
    is left to do in it."""
    return is_finished(directory) and not losses(directory) and not has_undone(directory)
