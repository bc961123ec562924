"""Stage artifacts, found by fingerprint and trained once, whoever asks first."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from rlhf.rundir.disk.aside import clear_strays, set_aside
from rlhf.rundir.disk.space import writing
from rlhf.rundir.disk.uses import hold
from rlhf.rundir.files import flatten, sync_directory, write_json
from rlhf.rundir.read import read_json
from rlhf.stages.provenance import whole

log = logging.getLogger(__name__)


class ArtifactStore:
    """`<root>/<stage>/<fingerprint>/`, whole or not there.

    While it is made it is `<fingerprint>.work/`; whoever comes after a killed maker goes on with
    that. What was got is held, for `user`, as long as the store lives: nobody removes it.
    """

    def __init__(self, root: Path, user: Path | None = None) -> None:
        self.root, self.user = root, user
        self._held: dict[Path, IO[bytes] | None] = {}

    def place(self, stage: str, fingerprint: str) -> Path:
        """Where the artifact is, or will be."""
        return self.root / stage / fingerprint

    def find(self, stage: str, fingerprint: str) -> Path | None:
        """The artifact, if it is complete and still what was published."""
        path = self.place(stage, fingerprint)
        there = (path / "manifest.json").exists()
        return path if there and not whole.damage(path) else None

    def get(
        self,
        stage: str,
        fingerprint: str,
        make: Callable[[Path], dict[str, Any]],
        *,
        waiting: Callable[[], None] = lambda: None,
    ) -> Path:
        """The artifact's folder, made by `make(work_directory) -> manifest` if it is missing. A
        damaged one is set aside and made again.

        The lock is the operating system's: it falls free when its owner dies. `waiting` is called
        once if another process holds it.
        """
        path = self.place(stage, fingerprint)
        self.keep(path)
        if artifact := self.find(stage, fingerprint):
            return artifact
        lock = FileLock(path.with_name(f"{fingerprint}.lock"))
        try:
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                held = lock.acquire(timeout=0)
        except Timeout:
            waiting()
            held = lock.acquire()
        with held:
            if artifact := self.find(stage, fingerprint):
                return artifact
            _set_aside(path)
            work = path.with_name(f"{fingerprint}.work")
            with writing(work):
                work.mkdir(exist_ok=True)
            for folder in (work, work / "checkpoints"):
                clear_strays(folder, alone=True)
            if not is_sealed(work):
                _seal(make(work), work)
            _publish(work, path)
        return path

    def keep(self, path: Path) -> None:
        """Holds an artifact, of this store or another, that is there or will be."""
        if path not in self._held:  # one that is a link, where it lies
            self._held[path] = hold(path.resolve() if path.is_symlink() else path, self.user)

    def keep_named(self, config: Mapping[str, Any]) -> None:
        """Holds the artifacts, of whatever store, that a nested config names by path."""
        for value in flatten(config).values():
            if isinstance(value, str) and os.path.isfile(Path(value) / "manifest.json"):
                path = Path(value).resolve()
                manifest = manifest_of(path)
                if (manifest.get("kind"), manifest.get("hash")) == ("artifact", path.name):
                    self.keep(path)

    def put(
        self, stage: str, fingerprint: str, files: Path, manifest: Callable[[], dict[str, Any]]
    ) -> Path:
        """The artifact's folder, made of the files in another folder if it is missing. Weights are
        linked, as they are big and nobody edits them."""

        def make(work: Path) -> dict[str, Any]:
            with writing(work):
                shutil.copytree(files, work, copy_function=link_weights, dirs_exist_ok=True)
            return manifest()

        return self.get(stage, fingerprint, make)


def _set_aside(path: Path) -> None:
    """Of an artifact that is not what was published, with a sentence that names its files."""
    if path.is_dir() and (path / "manifest.json").exists() and (faults := whole.damage(path)):
        log.warning(
            "%s is damaged: %s. It is made again, and the damaged one is set aside as %s. Runs of"
            " versions before 0.2.0, which did not look, may have used it",
            *(path, "; ".join(faults), set_aside(path).name),
        )


def is_sealed(work: Path) -> bool:
    """Whether all was made, and a kill came before it was published."""
    return (work / "manifest.json").exists() and not whole.damage(work)


def _seal(manifest: dict[str, Any], work: Path) -> None:
    """The manifest comes last. Only then may the checkpoints go: without both, a kill would have
    all made again."""
    write_json(work / "manifest.json", whole.sealed(manifest, work))


def _publish(work: Path, path: Path) -> None:
    shutil.rmtree(work / "checkpoints", ignore_errors=True)
    for file in filter(Path.is_file, work.rglob("*")):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if path.exists():  # without a manifest: not ours to trust, not ours to delete
        path.rename(path.with_name(f"{path.name}.incomplete-{os.getpid()}"))
    work.rename(path)
    sync_directory(path.parent)


def link_weights(source: str, target: str) -> None:
    """Copies a file; weights become a second name of the same file where the disk can do that."""
    Path(target).unlink(missing_ok=True)
    if source.endswith(".safetensors"):
        with suppress(OSError):
            return os.link(source, target)
    shutil.copy2(source, target)


def manifest_of(artifact: Path) -> dict[str, Any]:
    return read_json(artifact / "manifest.json")
