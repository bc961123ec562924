"""A file of a half-done or a finished run is damaged: the command says so and ends the same, or
refuses."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from random import Random

from benchmarks.soak.commands import Fault
from benchmarks.soak.same import compare
from benchmarks.soak.scene import EXPERIMENT, Scene, place
from benchmarks.soak.tries import Try

LISTING = 5  # names of JSON files in a line that lists them all
# nothing is in a lock; MLflow's artifacts are its own; no number of a run rests on the machine's
SPARED = ("*.lock", "mlartifacts", "system.jsonl")


def damage(scene: Scene, this: Try) -> None:
    """Killed on the way, one file damaged, the same command again. Where that is refused, the file
    is brought back, as from a backup, and the command must end as ever."""
    rng = scene.rng(this.kind, this.index)
    folder = scene.fresh(f"damage-{this.index}")
    reference, whole = scene.reference()
    moment = rng.randint(whole.operations // 4, whole.operations)
    scene.server.run(folder, EXPERIMENT, Fault(signal.SIGKILL, operation=moment))
    victim = draw(rng, folder)
    before = victim.read_bytes()
    how = hurt(rng, victim)
    this.faults.append(f"{victim.relative_to(folder)} {how}, at operation {moment}")
    this.places.append(place(folder))
    ended = scene.server.run(folder, EXPERIMENT)
    this.saw(ended)
    of_store = victim.name.startswith("mlflow.db")
    if ended.code == 0:
        undelivered = of_store and "MLflow" in ended.text
        this.differs(compare(folder, reference, store=not undelivered))
        if undelivered:  # what is on disk waits for the store
            this.refusals.append(ended.seconds)
            victim.write_bytes(before)
            scene.finish(this, folder)
    else:
        this.refused(ended, victim.name, victim.stem, victim.parent.name)
        victim.write_bytes(before)
        scene.finish(this, folder)
    if this.broken:
        this.breaks(f"it said: {ended.last_words}")
    scene.done(folder)


def finished(scene: Scene, this: Try) -> None:
    """Each file of a finished run damaged, one after the other: the same command names it, or has
    put it back."""
    rng = scene.rng(this.kind, this.index)
    folder = scene.fresh(f"finished-{this.index}")
    if (code := scene.server.run(folder, EXPERIMENT).code) != 0:
        this.breaks(f"exit code {code} where nothing happened")
    victims = [path for path in candidates(folder) if "soak" in path.parent.parts]
    for victim in victims:
        before = {path: path.read_bytes() for path in candidates(folder)}
        how = hurt(rng, victim)
        this.faults.append(f"{victim.relative_to(folder)} {how}")
        ended = scene.server.run(folder, EXPERIMENT)
        this.saw(ended)
        if ended.code not in (0, 1, 2):
            this.breaks(f"{this.faults[-1]}: exit code {ended.code}: {ended.last_words}")
        if victim.read_bytes() != before[victim] and not names(ended.text, victim.name):
            this.breaks(f"{this.faults[-1]}: not a word: {ended.last_words}")
        for path, data in before.items():
            if not path.exists() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    scene.finish(this, folder)
    scene.done(folder)


def names(text: str, name: str) -> bool:
    """Whether a line has the name in it, but for the list of all that a run's directory holds."""
    return any(name in line for line in text.splitlines() if line.count(".json") < LISTING)


def draw(rng: Random, folder: Path) -> Path:
    """A file that is not empty; every name of a file is as likely, however many have it."""
    by_name: dict[str, list[Path]] = {}
    for path in candidates(folder):
        name = path.name if not fnmatch(path.name, "iteration-*") else f"iteration{path.suffix}"
        by_name.setdefault(name, []).append(path)
    return rng.choice(by_name[rng.choice(sorted(by_name))])


def candidates(folder: Path) -> Iterator[Path]:
    """What can be damaged. A stage's artifact is looked at when it is used, and by a run that has
    ended it is not used any more."""
    ended = any(folder.glob("outputs/soak/*/summary.json"))
    patterns = (*SPARED, "artifacts") if ended else SPARED
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        spared = any(fnmatch(part, pattern) for part in parts for pattern in patterns)
        if path.is_file() and path.stat().st_size and not spared:
            yield path


def hurt(rng: Random, path: Path) -> str:
    """Flips a bit, cuts the file's end off or empties it; says which."""
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    how = rng.choice(("flip", "flip", "cut", "empty"))
    if how == "flip":
        data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        return f"has a flipped bit at byte {at} of {len(data)}"
    if how == "cut":
        path.write_bytes(data[:at])
        return f"is cut to {at} of {len(data)} bytes"
    path.write_bytes(b"")
    return f"is emptied of {len(data)} bytes"
