"""Kills and stops at any moment, and two ranks at once."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path

from benchmarks.soak.commands import STOPS, Ended
from benchmarks.soak.scene import EXPERIMENT, PATH, Scene, place
from benchmarks.soak.tries import Try

COLD = 1 / 8  # of the tries also make MLflow's database
CHAIN = 4  # faults in a row at most


def kill(scene: Scene, this: Try) -> None:
    """SIGKILL, one to four times in a row; each resumes what the one before left."""
    _interrupted(scene, this, (signal.SIGKILL,))


def stop(scene: Scene, this: Try) -> None:
    """SIGTERM, Ctrl-C, SIGHUP or SIGUSR1: the state is saved and said, and no status stays
    `running`."""
    _interrupted(scene, this, STOPS)


def path(scene: Scene, this: Try) -> None:
    """SIGKILL while a KL path is walked, its points among what must come out the same."""
    _interrupted(scene, this, (signal.SIGKILL,), PATH)


def _interrupted(
    scene: Scene, this: Try, numbers: tuple[int, ...], words: Sequence[str] = EXPERIMENT
) -> None:
    rng = scene.rng(this.kind, this.index)
    cold = rng.random() < COLD
    folder = scene.fresh(f"{this.kind}-{this.index}", cold=cold)
    for _ in range(rng.randint(1, CHAIN)):
        fault = scene.draw(rng, numbers, longer=scene.store_seconds if cold else 0.0, words=words)
        ended = scene.server.run(folder, words, fault)
        this.saw(ended)
        if ended.code == 0:  # it was done before its moment came
            break
        this.faults.append(str(fault))
        this.places.append(place(folder))
        if signal.SIGKILL in numbers:
            if ended.code != -signal.SIGKILL:
                this.breaks(f"exit code {ended.code} before the kill came: {ended.last_words}")
        else:
            _check_stop(this, folder, ended, fault.number)
    scene.finish(this, folder, words)
    scene.done(folder)


def _check_stop(this: Try, folder: Path, ended: Ended, number: int) -> None:
    """130 for Ctrl-C, 143 for the others; by the signal itself only where nothing was begun."""
    expected = 130 if number == signal.SIGINT else 143
    states = [
        json.loads(p.read_text()).get("state") for p in folder.glob("outputs/soak/*/status.json")
    ]
    name = signal.Signals(number).name
    if ended.code not in (expected, -number):
        this.breaks(f"{name}: exit code {ended.code}, not {expected}: {ended.last_words}")
    if "running" in states:
        this.breaks(f"{name}: the status stays running, exit code {ended.code}")


def ranks(scene: Scene, this: Try) -> None:
    """The same command twice at once, as two ranks of torchrun or from two terminals: one may
    work, the other says why it does not."""
    rng = scene.rng(this.kind, this.index)
    folder = scene.fresh(f"ranks-{this.index}")
    torchrun = rng.random() < 0.5
    this.faults.append("two ranks of torchrun" if torchrun else "the same command twice at once")
    commands = []
    for rank in ("0", "1"):
        environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
        commands.append(
            scene.server.start(folder, EXPERIMENT, environment=environment if torchrun else None)
        )
        commands[0].join(rng.uniform(0, 0.5) * scene.reference()[1].seconds)
    for command in commands:
        ended = command.wait()
        this.saw(ended)
        if ended.code:
            this.refused(ended, "another rlhf is at work", "rank", "RANK", "devices")
    scene.finish(this, folder)
    scene.done(folder)
