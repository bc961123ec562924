"""Files and configs that try to run code: nothing is executed, and what is refused is named."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.soak.commands import Ended, Fault
from benchmarks.soak.damage import candidates
from benchmarks.soak.scene import EXPERIMENT, Scene
from benchmarks.soak.tries import Try

PIECES = (
    "callbacks.x",
    "kl.controller",
    "kl.reference",
    "scorer",
    "data",
    "model",
    "tracking",
    "ppo.optimizer",
    "trust_region",
    "advantage",
)
HYDRAS = (
    "hydra.callbacks",
    "hydra.callbacks.x",
    "hydra.launcher",
    "hydra.sweeper",
    "hydra.job_logging.handlers.x",
    "hydra.hydra_logging.handlers.x",
)
SPELLINGS = ("plain", "interpolated", "in an argument", "a list", "partial", "target interpolated")


@dataclass(frozen=True)
class Attempt:
    what: str
    ended: Ended
    names: tuple[str, ...]  # one of them stands in a refusal
    may_pass: bool = False  # the command may leave what is hostile aside, and go on
    same: bool = False  # and then its run is as it ever was


Attack = Callable[[Scene, Random, Path, Path], Attempt]


def hostile(scene: Scene, this: Try) -> None:
    """One attack after another, each with details drawn from the seed."""
    rng = scene.rng(this.kind, this.index)
    folder = scene.fresh(f"hostile-{this.index}")
    canary = scene.root / f"executed-{this.index}"
    attack = ATTACKS[this.index % len(ATTACKS)]
    attempt = attack(scene, rng, folder, canary)
    ended = attempt.ended
    this.faults.append(attempt.what)
    this.saw(ended)
    if canary.exists():
        this.executed += 1
        this.breaks(f"executed; the command said: {ended.last_words}")
    if ended.code:
        this.refused(ended, *attempt.names)
    elif not attempt.may_pass:
        this.breaks(f"taken without a word: {ended.last_words}")
    elif attempt.same:
        scene.finish(this, folder)
    scene.done(folder)


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def bomb(rng: Random, path: Path, canary: Path) -> None:
    """A pickle, plain or in a zip file as torch writes them, in place of a file."""
    data = pickle.dumps({"state_dict": {}, "rlhf": {}, "x": Bomb(canary)}, protocol=2)
    if rng.random() < 0.5:
        path.write_bytes(data)
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, content in (("data.pkl", data), ("byteorder", b"little"), ("version", b"3\n")):
            file.writestr(f"archive/{name}", content)


def half_done(scene: Scene, folder: Path) -> None:
    """Killed when two checkpoints of PPO are there."""
    operations = scene.reference()[1].operations
    scene.server.run(folder, EXPERIMENT, Fault(signal.SIGKILL, operation=operations * 3 // 4))


# --- attacks


def checkpoints(scene: Scene, rng: Random, folder: Path, canary: Path) -> Attempt:
    half_done(scene, folder)
    files = sorted(path for path in candidates(folder) if path.suffix == ".ckpt")
    for path in files if rng.random() < 0.5 else files[-1:]:
        bomb(rng, path, canary)
        path.with_suffix(".sha256").write_text(sha256(path.read_bytes()).hexdigest() + "\n")
    ended = scene.server.run(folder, EXPERIMENT)
    what = f"a pickle in place of a checkpoint ({len(files)} there)"
    return Attempt(what, ended, (".ckpt",), may_pass=True, same=True)


def weights(scene: Scene, rng: Random, folder: Path, canary: Path) -> Attempt:
    half_done(scene, folder)
    stage = rng.choice(("sft", "reward_model"))
    (path,) = (folder / "outputs/artifacts" / stage).glob("*/model.safetensors")
    name = rng.choice(("model.safetensors", "pytorch_model.bin"))
    path.unlink()
    bomb(rng, path.with_name(name), canary)
    ended = scene.server.run(folder, EXPERIMENT)
    what, names = f"a pickle as {name} of {stage}", (path.parent.name,)
    return Attempt(what, ended, names, may_pass=True, same=True)


def code_in_model(scene: Scene, rng: Random, folder: Path, canary: Path) -> Attempt:
    """A model folder that brings Python of its own."""
    half_done(scene, folder)
    (sft,) = (folder / "outputs/artifacts/sft").glob("*/model.safetensors")
    if own := rng.random() < 0.5:
        model = folder / "model"
        shutil.copytree(sft.parent, model)
    else:
        model = sft.parent
    config = json.loads((model / "config.json").read_text())
    config |= {
        "model_type": rng.choice(("hostile", config["model_type"])),
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
    }
    (model / "config.json").write_text(json.dumps(config))
    (model / "code.py").write_text(f"open({str(canary)!r}, 'w')\n")
    words = [*EXPERIMENT, "model=hf", f"model.path={model}"] if own else EXPERIMENT
    if own:
        words = [word for word in words if word.split("=")[0] not in MODEL_KEYS]
    ended = scene.server.run(folder, words)
    what, names = f"Python code in {model.relative_to(folder)}", (model.name, "config.json")
    return Attempt(what, ended, names, may_pass=True, same=not own)


MODEL_KEYS = ("model.hidden_size", "model.layers", "model.heads")


def config_folder(scene: Scene, rng: Random, folder: Path, canary: Path) -> Attempt:
    """An experiment of somebody else's."""
    place, spelling = rng.choice(PIECES + HYDRAS * 2), rng.choice(SPELLINGS)
    target, node = payload(rng, canary, spelling, logging="handlers" in place)
    tree: Any = node
    for part in reversed(place.split(".")):
        tree = {part: tree}
    experiment = folder / "theirs/experiment"
    experiment.mkdir(parents=True)
    # JSON is YAML
    (experiment / "theirs.yaml").write_text(f"# @package _global_\n{json.dumps(tree)}\n")
    words = ["--config-dir", str(folder / "theirs"), *EXPERIMENT, "experiment=theirs"]
    if place in ("hydra.launcher", "hydra.sweeper"):
        words += ["-m", "seed=0,1"]
    ended = scene.server.run(folder, words)
    names = (target, place, "_target_", "theirs")
    return Attempt(f"{target} at {place} of an experiment, {spelling}", ended, names)


def command_line(scene: Scene, rng: Random, folder: Path, canary: Path) -> Attempt:
    place = rng.choice(PIECES + HYDRAS)
    target, node = payload(rng, canary, "plain", logging="handlers" in place)
    words = [
        f"++{place}.{key}={json.dumps(value) if isinstance(value, (list, dict)) else value!r}"
        for key, value in node.items()
    ]
    ended = scene.server.run(folder, [*EXPERIMENT, *words])
    return Attempt(f"{target} at {place} on the command line", ended, (target, place, "_target_"))


def kept_config(scene: Scene, rng: Random, folder: Path, canary: Path) -> Attempt:
    """Somebody else's run, to be reproduced."""
    scene.server.run(folder, EXPERIMENT)
    (run,) = (path.parent for path in folder.glob("outputs/soak/*/summary.json"))
    target, node = payload(rng, canary, "plain", logging=False)
    place = rng.choice(("callbacks", "kl.controller", "scorer", "data"))
    put(run / "config.yaml", place.split(".")[-1], {"x": node} if place == "callbacks" else node)
    ended = scene.server.run(folder, ["reproduce", str(run)])
    return Attempt(f"{target} at {place} of a kept config", ended, (target, place, "_target_"))


def put(config: Path, key: str, value: Any) -> None:
    """Replaces the first node of that name in a YAML file, whatever hangs below it."""
    lines = config.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
    depth = len(lines[start]) - len(lines[start].lstrip())
    below = takewhile(lambda line: line.startswith(" " * (depth + 1)), lines[start + 1 :])
    lines[start : start + 1 + len(list(below))] = [f"{' ' * depth}{key}: {json.dumps(value)}"]
    config.write_text("\n".join(lines) + "\n")


def pickled_job(scene: Scene, rng: Random, folder: Path, canary: Path) -> Attempt:
    bomb(rng, folder / "config.pickle", canary)
    ended = scene.server.run(folder, ["--experimental-rerun", str(folder / "config.pickle")])
    return Attempt("a pickled job of Hydra's", ended, ("--experimental-rerun",))


def rows(scene: Scene, rng: Random, folder: Path, canary: Path) -> Attempt:
    name = rng.choice(("rows.jsonl", "rows.jsonl.gz", "rows.pkl"))
    bomb(rng, folder / name, canary)
    words = [word for word in EXPERIMENT if not word.startswith("data")]
    words += ["data=jsonl", "data.gold=vader", "scorer=gold"]
    words += [f"data.{part}={folder / name}" for part in ("demonstrations", "preferences")]
    ended = scene.server.run(folder, words)
    return Attempt(f"a pickle as {name}", ended, (name,))


ATTACKS: tuple[Attack, ...] = (
    checkpoints,
    config_folder,
    weights,
    config_folder,
    code_in_model,
    config_folder,
    command_line,
    config_folder,
    kept_config,
    pickled_job,
    rows,
)


def payload(
    rng: Random, canary: Path, spelling: str, *, logging: bool
) -> tuple[str, dict[str, Any] | str]:
    """A class or function that writes the canary, and the node of a config that would call it."""
    target, arguments = rng.choice(
        (
            ("logging.FileHandler", {"filename": str(canary)}),
            ("os.system", {"command": f"touch {canary}"}),
            ("subprocess.Popen", {"args": ["touch", str(canary)]}),
            ("builtins.open", {"file": str(canary), "mode": "w"}),
            ("shutil.copy", {"src": "/etc/hostname", "dst": str(canary)}),
        )
    )
    key = "()" if logging else "_target_"
    node = {key: target, **arguments}
    if spelling == "interpolated":
        return target, f"${{oc.create:{flow(node)}}}"
    if spelling == "in an argument":
        return target, {key: "rlhf.kl.controller.Fixed", "coef": node}
    if spelling == "a list":
        return target, {**node, key: [target]}
    if spelling == "partial":
        return target, {**node, "_partial_": True}
    if spelling == "target interpolated":
        return target, {**node, key: f"${{oc.decode:{target}}}"}
    return target, node


def flow(value: Any) -> str:
    """The value in the grammar of OmegaConf's interpolations: quoted strings, bare keys."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(flow, value)) + "]"
    return f"'{value}'"
