"""Stage artifacts, found by fingerprint and trained once, whoever asks first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
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

    def path(self, stage: str, fingerprint: str) -> Path:
        return self.root / stage / fingerprint

    def find(self, stage: str, fingerprint: str) -> Path | None:
        """The artifact, if it is complete."""
        path = self.path(stage, fingerprint)
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
        if found := self.find(stage, fingerprint):
            return found
        path = self.path(stage, fingerprint)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f"{fingerprint}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire()
        try:
            if found := self.find(stage, fingerprint):
                return found
            work = path.with_name(f"{fingerprint}.work")
            work.mkdir(exist_ok=True)
            manifest = make(work)
            write_json(work / "manifest.json", manifest)
            self._publish(work, path)
        finally:
            lock.release()
        return path

    def _publish(self, work: Path, path: Path) -> None:
        shutil.rmtree(work / "checkpoints", ignore_errors=True)
        for file in work.rglob("*"):
            if file.is_file():
                handle = os.open(file, os.O_RDONLY)
                os.fsync(handle)
                os.close(handle)
        if path.exists():  # without a manifest: not ours to trust, not ours to delete
            path.rename(path.with_name(f"{path.name}.incomplete-{os.getpid()}"))
        work.rename(path)
        sync_directory(path.parent)


def manifest_of(artifact: Path) -> dict[str, Any]:
    return read_json(artifact / "manifest.json")
