"""Stage artifacts, found by fingerprint and trained once, whoever asks first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rlhf.rundir.files import sync_directory, write_json
from rlhf.rundir.read import read_json


class ArtifactStore:
    """`<root>/<stage>/<fingerprint>/`, whole or not there.

    While it is made it is `<fingerprint>.work/`; whoever comes after a killed maker goes on with
    that.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, stage: str, fingerprint: str) -> Path | None:
        """The artifact, if it is complete."""
        path = self.root / stage / fingerprint
        return path if (path / "manifest.json").exists() else None

    def get(
        self,
        stage: str,
        fingerprint: str,
        make: Callable[[Path], dict[str, Any]],
        *,
        waiting: Callable[[], None] = lambda: None,
    ) -> Path:
        """The artifact's folder, made by `make(work_directory) -> manifest` if it is missing.

        The lock is the operating system's: it falls free when its owner dies. `waiting` is called
        once if another process holds it.
        """
        if artifact := self.find(stage, fingerprint):
            return artifact
        path = self.root / stage / fingerprint
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f"{fingerprint}.lock"))
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            waiting()
            held = lock.acquire()
        with held:
            if artifact := self.find(stage, fingerprint):
                return artifact
            work = path.with_name(f"{fingerprint}.work")
            work.mkdir(exist_ok=True)
            write_json(work / "manifest.json", make(work))
            _publish(work, path)
        return path

    def put(
        self, stage: str, fingerprint: str, files: Path, manifest: Callable[[], dict[str, Any]]
    ) -> Path:
        """The artifact's folder, made of the files in another folder if it is missing. Weights are
        linked, as they are big and nobody edits them."""

        def make(work: Path) -> dict[str, Any]:
            shutil.copytree(files, work, copy_function=_link_weights, dirs_exist_ok=True)
            return manifest()

        return self.get(stage, fingerprint, make)


def _publish(work: Path, path: Path) -> None:
    shutil.rmtree(work / "checkpoints", ignore_errors=True)
    for file in filter(Path.is_file, work.rglob("*")):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if path.exists():  # without a manifest: not ours to trust, not ours to delete
        path.rename(path.with_name(f"{path.name}.incomplete-{os.getpid()}"))
    work.rename(path)
    sync_directory(path.parent)


def _link_weights(source: str, target: str) -> None:
    """Copies a file; weights become a second name of the same file where the disk can do that."""
    Path(target).unlink(missing_ok=True)
    if source.endswith(".safetensors"):
        with suppress(OSError):
            return os.link(source, target)
    shutil.copy2(source, target)


def manifest_of(artifact: Path) -> dict[str, Any]:
    return read_json(artifact / "manifest.json")
