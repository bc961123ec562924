"""A finished run that lost something since: it is put back where it can be, named or refused where
it cannot."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from rlhf.callbacks.checkpoint import AtomicCheckpointIO, choose, records_in, tidy
from rlhf.rundir import noted, records
from rlhf.rundir.disk.aside import whole
from rlhf.rundir.disk.sealed import write_sealed
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import flatten, write_bytes
from rlhf.rundir.paths.points import path_of
from rlhf.rundir.read import read_json
from rlhf.rundir.status import FINISHED, STATUS, write_status

log = logging.getLogger(__name__)


def make_whole(directory: Path) -> None:
    """Ends what a kill left undone after the run's end. Records that lost rows since are put back
    from the last checkpoint, where it was kept, files of the policy from its artifact, and what
    stands elsewhere, too, from there.

    Raises:
        RunFailed: they cannot be.
    """
    losses = noted.losses(directory)
    losses.pop(noted.MANIFEST, None)  # whoever asked whose run it is has named it
    if sentence := losses.pop(noted.REALIGN, None):
        noted.drop(directory, noted.REALIGN)
        log.warning("%s: %s when it was measured; rlhf realign does it again", directory, sentence)
    beside = {n: losses.pop(n) for n in (*noted.BESIDE, STATUS) if n in losses}
    if losses:
        _put_back(directory, losses)
    _mend(directory, beside)
    kept = flatten(read_json(directory / noted.MANIFEST).get("config") or {})
    wish = kept.get("checkpoints.after_finish")  # None: of an older version, which kept two
    if wish is not None and (directory / "checkpoints").exists():
        tidy(directory, str(wish))


def _put_back(directory: Path, losses: Mapping[str, str]) -> None:
    copy, published = _copy_of(directory, losses), _published(directory, losses)
    there = {*copy, *published}
    if remaining := [sentence for name, sentence in losses.items() if name not in there]:
        raise RunFailed(
            f"{directory} was finished, but since then files of it were damaged:"
            f" {'; '.join(remaining)}. Nothing was changed. rerun=true makes the same run again"
            " beside it; without its summary.json the same command makes it again in its place"
        )
    records.put_back(directory, copy)
    for name, path in published.items():
        with whole(directory / name) as file, path.open("rb") as original:
            shutil.copyfileobj(original, file)
    rows = "last checkpoint's copy" if path_of(directory) is None else "records of its path's run"
    log.warning(
        "%s: %s; put back from the %s",
        *(directory, "; ".join(losses.values())),
        " and the ".join([rows] * bool(copy) + ["policy's artifact"] * bool(published)),
    )


def _mend(directory: Path, beside: Mapping[str, str]) -> None:
    """What says how the run was made, and no result. An edited config.yaml is a wish of whoever
    reproduces the run: it stays."""
    for name, sentence in beside.items():
        again = "it stays as it is; the results are those of the run"
        if name == STATUS:
            write_status(directory, **FINISHED)
            again = "written again"
        elif name == noted.LEGS and _mend_legs(directory):
            again = "put back from manifest.json"
        log.warning("%s: %s when it ended; %s", directory, sentence, again)


def _mend_legs(directory: Path) -> bool:
    """Whether legs.json could be put back: the manifest has the legs, too."""
    path = directory / noted.LEGS
    before = path.read_bytes() if path.exists() else None
    write_sealed(path, {"legs": read_json(directory / noted.MANIFEST).get("legs", [])})
    if noted.is_noted(directory, noted.LEGS, path.read_bytes()):
        return True
    if before is not None:
        write_bytes(path, before)
    return False


def _published(directory: Path, names: Iterable[str]) -> dict[str, Path]:
    """Those of the policy's files that its artifact has as they were when the run ended."""
    manifest, summary = (read_json(directory / f"{name}.json") for name in ("manifest", "summary"))
    root = flatten(manifest.get("config") or {}).get("paths.artifacts")
    stage = str(manifest.get("stage"))
    own = summary.get("fingerprints", {}).get(stage)
    if not root or not own:
        return {}
    then, artifact = noted.noted(directory), Path(root) / stage / str(own)
    paths = {n: artifact / Path(n).name for n in names if n.startswith(f"{noted.POLICY}/")}
    return {n: path for n, path in paths.items() if noted.is_policy_file(path, then[n])}


def _copy_of(directory: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Those of the files that a checkpoint has as they were when the run ended. A kill may have
    left one of an earlier iteration, when it came while the last one was removed."""
    last = choose(directory).path
    checkpoint = AtomicCheckpointIO().load_checkpoint(last, "cpu") if last else {}
    copies = [records_in(checkpoint)] if "records" in checkpoint else []
    if (path := path_of(directory)) is not None:  # which began with the same rows
        ended = read_json(directory / noted.SUMMARY).get("iterations", -1)
        copies.append(records.until(records.contents(path), ended))
    whole_ones = {
        name: copy[name]
        for copy in copies
        for name in names
        if name in copy and noted.is_noted(directory, name, copy[name])
    }
    return whole_ones
