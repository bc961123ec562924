"""The models that a run's directory or a stage's artifact holds, and what they were made from.
Reads files only; no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from rlhf.config.naming import IMPLIED, algorithm_name
from rlhf.config.pieces.algorithm import ALGORITHMS
from rlhf.config.stages import STAGES
from rlhf.models.files.adapter import is_adapter
from rlhf.rundir.paths.points import points_of
from rlhf.rundir.read import read_json
from rlhf.rundir.shapes import number
from rlhf.rundir.status import run_state

What = Literal["policy", "reward_model"]
ARTIFACT_PLACES = "outputs/artifacts/<stage>/<fingerprint>"


class NoModel(ValueError):
    """There is no such model. The message says why, and what there is."""


class Taken(ValueError):
    """Something is in the place where a directory is to be written."""


def check_free(to: Path) -> None:
    """Raises Taken where something would be lost."""
    if to.is_file() or (to.is_dir() and any(to.iterdir())):
        kind = "a file" if to.is_file() else "a folder that is not empty"
        raise Taken(f"{to} is {kind}: name another place with --to")
    if file := next((str(place) for place in to.parents if place.is_file()), None):
        raise Taken(f"{to}: {file} is a file: name another place with --to")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A run, or a stage's artifact. `directory` has its manifest."""

    directory: Path
    manifest: dict[str, Any]
    summary: dict[str, Any]  # of the run; empty of an artifact whose run is not there

    @property
    def stage(self) -> str:
        return str(self.manifest.get("stage"))

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, nested, without its secrets."""
        config = self.manifest.get("config")
        return config if isinstance(config, dict) else {}

    @property
    def algorithm(self) -> str:
        """What its policy was trained by, in words: `PPO`, else the algorithm's name."""
        name = algorithm_name(self.config)
        return "PPO" if name == IMPLIED["algorithm"] else name

    @property
    def learns_from(self) -> tuple[str, ...]:
        """The parts of the data that its algorithm learned from beside prompts. Of a user's own
        nobody knows without its class."""
        target = (self.config.get("algorithm") or {}).get("_target_")
        piece = ALGORITHMS.get(str(target)) if self.stage == "ppo" else None
        return getattr(piece, "learns_from", ())

    @property
    def is_held(self) -> bool:
        """Whether a KL coefficient held its policy to the one that it began from."""
        coefs = (self.config.get("kl") or {}).get("coef"), self.summary.get("kl.coef_final")
        return self.stage == "ppo" and any(map(number, coefs))

    @cached_property
    def prints(self) -> dict[str, str]:
        """The fingerprints of the stages that it stands on, and its own, by stage."""
        own = {self.stage: str(self.manifest["hash"])} if self.is_artifact else {}
        every = {
            **(self.manifest.get("fingerprints") or {}),
            **(self.summary.get("fingerprints") or {}),
            **own,
        }
        return {stage: str(every[stage]) for stage in STAGES if stage in every}

    @property
    def is_artifact(self) -> bool:
        return self.manifest.get("kind") == "artifact"

    @cached_property
    def run(self) -> Path | None:
        """The run's directory: its own, or that of the run that made the artifact, while it is
        there."""
        if not self.is_artifact:
            return self.directory
        named = self.manifest.get("run")
        return self.resolved(str(named)) if named else None

    def artifact(self, stage: str) -> Path | None:
        """The artifact of a stage that it stands on, or is; None where it is not on this disk."""
        if self.is_artifact and stage == self.stage:
            return self.directory
        return self._artifact(stage, self.prints.get(stage))

    def _artifact(self, stage: str, own: str | None) -> Path | None:
        root = (self.config.get("paths") or {}).get("artifacts")
        place = self.resolved(str(Path(str(root)) / stage / own)) if root and own else None
        return place if place is not None and holds_model(place) else None

    @cached_property
    def members(self) -> list[Path] | None:
        """The further reward models of its scorer's ensemble: none where there is no ensemble; None
        where one of them is not on this disk."""
        made = read_json(self.run / "manifest.json") if self.run is not None else self.manifest
        places = [self._artifact("reward_model", own) for own in made.get("ensemble", ())]
        return None if None in places else [place for place in places if place is not None]

    def resolved(self, path: str) -> Path | None:
        """A directory that the config or a manifest names, which may start from where the run was
        made: from here, or from a folder above this one."""
        bases = (Path(), *self.directory.absolute().parents)
        return next((base / path for base in bases if (base / path).is_dir()), None)

    def folder(self, what: What) -> Path:
        """The directory of its policy or reward model.

        Raises:
            NoModel: it has none, or it is not on this disk.
        """
        if what == "policy":
            return self._policy()
        if self.stage == "sft":
            raise NoModel(f"{self.directory} is an SFT policy: it holds no reward model")
        if place := self.artifact("reward_model"):
            return place
        own = self.prints.get("reward_model")
        raise NoModel(
            f"{self.directory} has no reward model: its scorer needed none"
            if own is None
            else f"the reward model {own} of {self.directory} is not on this disk any more"
            f" ({(self.config.get('paths') or {}).get('artifacts')}/reward_model/{own})"
        )

    def _policy(self) -> Path:
        if self.stage == "reward_model":
            raise NoModel(
                f"{self.directory} is a reward model: it holds no policy"
                + (f" (its SFT policy: {sft})" if (sft := self.artifact("sft")) else "")
            )
        own = self.directory if self.is_artifact else self.directory / "policy"
        if holds_model(own):
            return own
        if place := self.artifact(self.stage):
            return place
        state = "finished" if self.is_artifact else run_state(self.directory).state
        points = "\n  ".join(map(str, points_of(self.directory)))
        raise NoModel(
            f"{self.directory} holds no policy"
            + (f": the run is {state}; the same command ends it" if state != "finished" else "")
            + (f". Points of it that have ended do:\n  {points}" if points else "")
        )

    @property
    def holds(self) -> What:
        """What is taken where nobody says it."""
        return "reward_model" if self.stage == "reward_model" else "policy"


def holds_model(folder: Path) -> bool:
    """A whole model, or an adapter that names the network it stands beside."""
    whole = (folder / "config.json").is_file()
    return (whole or is_adapter(folder)) and any(folder.glob("*.safetensors"))


def find(argument: str | Path) -> Made:
    """The run or artifact in a directory; of a run whose stage is an artifact, that.

    Raises:
        NoModel: it is no directory, a sweep's, or none of ours.
    """
    path = Path(argument)
    if not path.is_dir():
        raise NoModel(f"{path} is no directory.{_meant(_near(path))}")
    if (path / "sweep.json").is_file():
        runs = sorted(place for place in path.iterdir() if (place / "summary.json").is_file())
        points = [place for run in runs for place in (*points_of(run), run)]
        listed = "\n  ".join(map(str, points)) or "none has finished yet"
        raise NoModel(f"{path} is a sweep: name one of its points\n  {listed}")
    if path.name == "policy" and (path.parent / "manifest.json").is_file():
        path = path.parent
    manifest = read_json(path / "manifest.json")
    if manifest.get("stage") not in STAGES:
        if holds_model(path):
            raise NoModel(
                f"{path} is a model without a manifest.json: it is none of ours, or was exported"
                " already"
            )
        below = [str(place) for place in _runs(path)][:3]
        raise NoModel(f"{path} is no run and no artifact: it has no manifest.json.{_meant(below)}")
    made = Made(directory=path, manifest=manifest, summary=read_json(path / "summary.json"))
    if made.is_artifact and made.run is not None:
        return Made(directory=path, manifest=manifest, summary=read_json(made.run / "summary.json"))
    if not made.is_artifact and (artifact := made.summary.get("artifact")):
        place = made.resolved(str(artifact))
        if place is None:
            raise NoModel(f"{path} points to {artifact}, which is not on this disk any more")
        return find(place)
    return made


def _runs(folder: Path) -> Iterator[Path]:
    for depth in ("*", "*/*", "*/*/*"):
        yield from (place.parent for place in sorted(folder.glob(f"{depth}/manifest.json")))


def _near(path: Path) -> list[str]:
    """Up to three runs or artifacts with a name like this one, in its folder or where they lie by
    default."""
    folders = (path.parent, Path("sweeps"), Path("outputs"))
    sweeps = (p.parent for folder in folders for p in sorted(folder.glob("*/sweep.json")))
    every = [*sweeps, *(place for folder in folders for place in _runs(folder))]
    places = {place.resolve(): str(place) for place in every}
    ratio = difflib.SequenceMatcher
    likeness = {name: ratio(None, Path(name).name, path.name).ratio() for name in places.values()}
    return sorted((n for n in likeness if likeness[n] > 0.5), key=lambda n: -likeness[n])[:3]


def _meant(near: list[str]) -> str:
    if near:
        return f" Did you mean {' or '.join(near)}?"
    return (
        f" Runs are in outputs/<study>/<run> or sweeps/<sweep>/<run>, stages in {ARTIFACT_PLACES}."
    )
