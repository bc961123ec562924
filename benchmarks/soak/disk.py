"""A disk that is full, or that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from benchmarks.soak.commands import Ended, Fault
from benchmarks.soak.same import stray_files
from benchmarks.soak.scene import EXPERIMENT, Scene
from benchmarks.soak.tries import Try

PAGE = 4096  # bytes; tmpfs gives whole pages
SMALLEST_LIMIT = 4096
CHECKPOINT = 6  # times the weights: two networks and their moments
WORDS = ("free", "space", "large", "read-only", "Read-only", "cannot write", "cannot be written")
_lock = threading.Lock()


def disk(scene: Scene, this: Try) -> None:
    """A file system with less room than a run needs, one that is read-only, or a limit on the size
    of a file: said with the path, exit code 1 (read-only: 2, at once), nothing half-written left;
    with room again the same command ends as ever."""
    rng = scene.rng(this.kind, this.index)
    folder = scene.root / f"disk-{this.index}"
    kind = rng.choice(("full", "full", "full", "limit", "limit", "read-only"))
    if not can_mount(scene.root):
        scene.skipped["disk: full and read-only file systems"] = "mount is not allowed here"
        kind = "limit"
    with _mounted(folder) if kind != "limit" else _plain(scene, folder):
        if kind != "limit":
            scene.place_store(folder)
        if kind == "full":
            least, most = used(folder), used(scene.reference()[0])
            size = rng.randint(least // PAGE + 1, most // PAGE) * PAGE
            remount(folder, f"size={size}")
            what = f"a file system of {size} bytes, {size - least} free"
            ended = scene.server.run(folder, EXPERIMENT)
            _check(this, folder, ended, what)
            remount(folder, f"size={most * 4}")
        elif kind == "read-only":
            remount(folder, "ro")
            ended = scene.server.run(folder, EXPERIMENT)
            _check(this, folder, ended, "a read-only file system", code=2)
            remount(folder, "rw")
        else:
            weights = scene.reference()[0].rglob("*.safetensors")
            biggest = CHECKPOINT * max(path.stat().st_size for path in weights)
            limit = round(SMALLEST_LIMIT * (biggest / SMALLEST_LIMIT) ** rng.random())
            fault = Fault(file_limit=limit)
            _check(this, folder, scene.server.run(folder, EXPERIMENT, fault), str(fault))
        if this.faults:
            scene.finish(this, folder)
    scene.done(folder)


def _check(this: Try, folder: Path, ended: Ended, what: str, code: int = 1) -> None:
    this.saw(ended)
    if ended.code == 0 and "did not take all" not in ended.text:
        return  # there was room enough
    this.faults.append(what)
    if ended.code:
        this.refused(ended, *WORDS, codes=(code,), timed=False)
        if "outputs" not in ended.text:
            this.breaks(f"no path is named: {ended.last_words}")
    if strays := stray_files(folder):
        this.strays += len(strays)
        this.breaks(f"left half-written: {', '.join(strays)}")


def used(folder: Path) -> int:
    """Bytes in whole pages, a page for each folder."""
    sizes = (path.stat().st_size if path.is_file() else 1 for path in folder.rglob("*"))
    return sum(-(-size // PAGE) * PAGE for size in sizes)


def can_mount(root: Path) -> bool:
    """Whether this process may mount a tmpfs; tried once, by one thread."""
    with _lock:
        return _tried(root)


@cache
def _tried(root: Path) -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    probe = root / "probe"
    probe.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "soak", str(probe)]
    if subprocess.run(command, capture_output=True).returncode:
        return False
    unmount(probe)
    return True


def unmount(folder: Path) -> None:
    """At once, even while something still holds a file in it."""
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


def unmount_below(root: Path) -> None:
    """Whatever a try that was cut left mounted."""
    with suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            # a space is \040 there
            folder = Path(line.split()[1].encode().decode("unicode_escape"))
            if folder.is_relative_to(root):
                unmount(folder)


@contextmanager
def _plain(scene: Scene, folder: Path) -> Iterator[None]:
    scene.fresh(folder.name)
    yield


@contextmanager
def _mounted(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "soak", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        unmount(folder)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
