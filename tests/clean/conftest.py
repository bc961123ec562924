"""Runs, sweeps and stores made by hand, in a folder of their own, with configs that are valid."""

import json
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rlhf.config.compose import compose, validate
from rlhf.config.stages import CODE_VERSION
from rlhf.digests import digest
from rlhf.rundir import noted
from rlhf.rundir.disk.owner import this_process
from rlhf.rundir.disk.sealed import write_sealed
from rlhf.rundir.files import write_json, write_text
from rlhf.stages.provenance import whole
from tests.conftest import SMALL

SFT, OTHER, REWARD, BEST = ("5f7" + str(k) * 13 for k in range(4))


@pytest.fixture(scope="session")
def plain():
    """The plain config of a small run."""
    return validate(compose(SMALL)).plain()


@pytest.fixture
def scene(home, plain):
    return Scene(home, plain)


class Scene:
    """Makes things below a home folder, and keeps no list of them."""

    def __init__(self, home, plain):
        self.home, self.plain = home, plain

    def config(self, **sections):
        return {
            name: {**value, **sections[name]} if name in sections else value
            for name, value in self.plain.items()
        } | {name: value for name, value in sections.items() if not isinstance(value, dict)}

    def artifact(self, stage, own, *, parents=(), root="outputs/artifacts", run=None, **sections):
        folder = self.home / root / stage / own
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(os.urandom(5000))
        manifest = {
            "kind": "artifact",
            "stage": stage,
            "hash": own,
            "code": CODE_VERSION,
            "fingerprints": {"data": "d" * 64, **dict(parents)},
            "config": self.config(**sections) | {"stage": stage},
            "metrics": {},
            **({"run": run} if run else {}),
        }
        write_json(folder / "manifest.json", whole.sealed(manifest, folder))
        return folder

    def run(
        self,
        place,
        *,
        state="finished",
        parents=(),
        checkpoints=(),
        pid=None,
        **sections,
    ):
        directory = self.home / place
        directory.mkdir(parents=True)
        config = self.config(**sections)
        write_text(directory / "config.yaml", OmegaConf.to_yaml(config))
        facts = {"data": "d" * 64, **dict(parents)}
        manifest = {"kind": "run", "stage": "ppo", "hash": "0" * 8, "config": config}
        noted.write_manifest(directory / "manifest.json", {**manifest, "fingerprints": facts})
        rows = [{"iteration": i, "episodes": 8 * i, "kl/coef": 0.05} for i in range(5)]
        write_text(directory / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
        for iteration in checkpoints:
            self.checkpoint(directory, iteration)
        pid = pid or (os.getpid() if state == "running" else 1)
        status = {**this_process(), "pid": pid, "state": state, "time": 2e9, "exit_code": 0}
        write_sealed(directory / "status.json", status)
        if state == "finished":
            summary = {"status": "finished", "stage": "ppo", "iterations": 4, "fingerprints": facts}
            noted.conclude(directory, summary)
        return directory

    def checkpoint(self, directory, iteration):
        folder = directory / "checkpoints"
        folder.mkdir(exist_ok=True)
        path = folder / f"iteration-{iteration:06d}.ckpt"
        path.write_bytes(os.urandom(9000))
        path.with_suffix(".sha256").write_text(digest(path.name))

    def work(self, stage, own, **sections):
        folder = self.home / f"outputs/artifacts/{stage}/{own}.work"
        folder.mkdir(parents=True)
        config = self.config(**sections) | {"stage": stage}
        write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "iteration-000001.ckpt").write_bytes(b"w" * 5000)
        return folder


def everything(folder):
    """Path -> content of all files below a folder, without locks and notes of users."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.suffix not in (".lock", ".users") and path.name != ".lock"
    }
