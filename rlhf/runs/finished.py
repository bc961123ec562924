"""A finished run: its records and its policy noted, so that it is seen whether they are whole, and
put back or refused where they are not."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from rlhf.callbacks.checkpoint import AtomicCheckpointIO, choose, records_in, tidy
from rlhf.rundir import records
from rlhf.rundir.disk.aside import whole
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import flatten, write_json
from rlhf.rundir.read import read_json

log = logging.getLogger(__name__)


def note_records(directory: Path) -> None:
    """Writes the digests of all that the run recorded into its manifest."""
    path = directory / "manifest.json"
    write_json(path, {**read_json(path), "records": records.digests(directory)})


def make_whole(directory: Path) -> None:
    """Ends what a kill left undone after the run's end. Records that lost rows since are put back
    from the last checkpoint, where it was kept, and files of the policy from its artifact.

    Raises:
        RunFailed: they cannot be.
    """
    if losses := records.losses(directory):
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
        log.warning(
            "%s: %s; put back from the %s",
            *(directory, "; ".join(losses.values())),
            " and the ".join(
                ["last checkpoint's copy"] * bool(copy) + ["policy's artifact"] * bool(published)
            ),
        )
    kept = flatten(read_json(directory / "manifest.json").get("config") or {})
    wish = kept.get("checkpoints.after_finish")  # None: of an older version, which kept two
    if wish is not None and (directory / "checkpoints").exists():
        tidy(directory, str(wish))


def _published(directory: Path, names: Iterable[str]) -> dict[str, Path]:
    """Those of the policy's files that its artifact has as they were when the run ended."""
    manifest, summary = (read_json(directory / f"{name}.json") for name in ("manifest", "summary"))
    root = flatten(manifest.get("config") or {}).get("paths.artifacts")
    stage = str(manifest.get("stage"))
    own = summary.get("fingerprints", {}).get(stage)
    if not root or not own:
        return {}
    then, artifact = records.noted(directory), Path(root) / stage / str(own)
    paths = {n: artifact / Path(n).name for n in names if n.startswith(f"{records.POLICY}/")}
    return {n: path for n, path in paths.items() if records.is_policy_file(path, then[n])}


def _copy_of(directory: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Those of the files that a checkpoint has as they were when the run ended. A kill may have
    left one of an earlier iteration, when it came while the last one was removed."""
    last = choose(directory).path
    checkpoint = AtomicCheckpointIO().load_checkpoint(last, "cpu") if last else {}
    copy = records_in(checkpoint) if "records" in checkpoint else {}
    return {n: copy[n] for n in names if n in copy and records.is_noted(directory, n, copy[n])}
