"""Which stages of a run are made already, as far as that is known without a tokenizer: by what
their artifacts say of their settings and of the content of their data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from rlhf.config.naming import deciding
from rlhf.config.pieces.scorer import ensemble_members
from rlhf.config.properties import is_trained, needed_stages, normalizes, reads_sft
from rlhf.config.schema import Config
from rlhf.config.stages import CODE_VERSION, STAGES
from rlhf.data.records import TaskData
from rlhf.digests import digest, one_spelling
from rlhf.rundir.disk import sealed
from rlhf.rundir.read import read_json

# another value gives another artifact, whatever else is so
OWN = {
    "sft": ("adapter", "trainer", "sft"),
    "reward_model": ("adapter", "trainer", "reward_model"),
}
# another value may give the same one: where a part of the section has no part in it, or the same
# files lie in another folder
BESIDE = ("data", "model", "generation", "annotator", "labels")

# made: its artifact is there. perhaps made: one is there that only differs in what may decide
# nothing. given: by a path, or it is the model as it is
Known = Literal["given", "made", "perhaps made", "to train"]


@dataclass(frozen=True, kw_only=True)
class StageState:
    """A stage of a run, before the run. `key` is the same for runs that share the stage."""

    name: str
    known: Known
    key: str
    artifacts: tuple[Path, ...] = ()  # of an ensemble all


@dataclass(frozen=True)
class Contents:
    """The content of a run's data, as its sha256 tell of it, which are had where they are asked."""

    rows: TaskData

    @property
    def data(self) -> str:
        return self.rows.fingerprint

    def part(self, name: str) -> str | None:
        split = getattr(self.rows, name)
        return None if split is None else split.fingerprint


@dataclass(frozen=True)
class Artifact:
    """A published artifact, as its manifest tells of it."""

    path: Path
    manifest: Mapping[str, Any]
    _digests: dict[str, str] = field(default_factory=dict)

    @cached_property
    def config(self) -> dict[str, Any]:
        config = self.manifest.get("config")
        return config if isinstance(config, dict) else {}

    def section(self, name: str) -> str:
        if name not in self._digests:
            self._digests[name] = section_digest(self.config, name)
        return self._digests[name]

    @cached_property
    def is_whole(self) -> bool:
        """By its manifest and the sizes of its files: whoever uses it reads them all."""
        listed = self.manifest.get("files") or {}
        return (
            bool(self.config)
            and sealed.is_whole(self.manifest, sealed.MANIFEST)
            and all(
                (self.path / name).is_file() and (self.path / name).stat().st_size == then["bytes"]
                for name, then in listed.items()
            )
        )


class Shelf:
    """The artifacts of all stores that are asked for, each manifest read once."""

    def __init__(self) -> None:
        self._there: dict[tuple[Path, str], list[Artifact]] = {}

    def there(self, root: Path, stage: str) -> list[Artifact]:
        """The whole ones of a stage."""
        key = (root, stage)
        if key not in self._there:
            manifests = sorted((root / stage).glob("*/manifest.json"))
            every = [
                Artifact(path.parent, read_json(path))
                for path in manifests
                if not path.parent.name.endswith(".work")
            ]
            self._there[key] = [artifact for artifact in every if artifact.is_whole]
        return self._there[key]

    def states(self, cfg: Config, contents: Contents | None = None) -> list[StageState]:
        """Of the stages that the run goes through but for one that is its own.

        Args:
            contents: of its data; None where nobody has read them.
        """
        names = [stage.name for stage in needed_stages(cfg) if not stage.is_run]
        return [self._state(cfg, name, contents) for name in names]

    def _state(self, cfg: Config, stage: str, contents: Contents | None) -> StageState:
        plain = cfg.plain()
        count = max(1, ensemble_members(cfg.scorer)) if stage == "reward_model" else 1
        first = int(plain[stage]["seed"])
        seeds = [
            {**plain, stage: {**plain[stage], "seed": first + further}} for further in range(count)
        ]
        wanted = [Wanted(cfg=cfg, plain=each, stage=stage, contents=contents) for each in seeds]
        key = digest([cfg.paths.artifacts, stage, *(each.key for each in wanted)])
        if not is_trained(cfg, stage):
            return StageState(name=stage, known="given", key=key)
        there = self.there(Path(cfg.paths.artifacts), stage)
        alike = [max(map(each.likeness, there), default=0) for each in wanted]
        places = tuple(
            artifact.path for each in wanted for artifact in there if each.likeness(artifact) == 2
        )
        known: Known = "made" if min(alike) == 2 else "perhaps made" if min(alike) else "to train"
        return StageState(name=stage, known=known, key=key, artifacts=places)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a run asks of a stage."""

    cfg: Config
    plain: Mapping[str, Any]
    stage: str
    contents: Contents | None

    @cached_property
    def own(self) -> dict[str, str]:
        """The digests of the sections that decide it, its parents' among them."""
        names = dict.fromkeys((*OWN[self.stage], *(OWN["sft"] if self.learns_sft else ())))
        return {name: section_digest(self.plain, name) for name in names}

    @property
    def learns_sft(self) -> bool:
        """Whether it stands on an SFT policy that is trained."""
        stands = self.stage == "reward_model" and reads_sft(self.cfg)
        return stands and is_trained(self.cfg, "sft")

    @cached_property
    def beside(self) -> dict[str, str]:
        names = BESIDE if self.stage == "reward_model" else BESIDE[:2]
        given = () if self.stage == "sft" or self.learns_sft else ("sft",)
        return {name: section_digest(self.plain, name) for name in (*names, *given)}

    @cached_property
    def key(self) -> str:
        return digest([self.own, self.beside])

    @property
    def samples(self) -> bool:
        """Whether it draws responses of the SFT policy."""
        given = self.contents is not None and self.contents.rows.preferences is not None
        return normalizes(self.cfg.reward_model) or not given

    @property
    def reads(self) -> Iterator[str]:
        """The parts of the data that it learns from."""
        own = STAGES[self.stage].data
        yield from (part for part in own if part != "prompts" or self.samples)
        if self.learns_sft:
            yield from STAGES["sft"].data

    def likeness(self, artifact: Artifact) -> int:
        """2: it is the artifact. 1: it may be. 0: it is another one."""
        if any(artifact.section(name) != mine for name, mine in self.own.items()):
            return 0
        if artifact.manifest.get("code", CODE_VERSION) != CODE_VERSION:
            return 0
        then = artifact.manifest.get("data")
        if self.contents is None or not isinstance(then, Mapping):
            return 1
        for part in self.reads:
            before, now = then.get(part), self.contents.part(part)
            if (before.get("sha256") if isinstance(before, Mapping) else None) != now:
                return 0
        same = all(artifact.section(name) == mine for name, mine in self.beside.items())
        prints = artifact.manifest.get("fingerprints") or {}
        sure = same and prints.get("data") == self.contents.data and self._is_recorded(artifact)
        return 2 if sure else 1

    def _is_recorded(self, artifact: Artifact) -> bool:
        """Whether the artifact says under which code it was made, and the folders that it was made
        from are older than it is."""
        made = (artifact.path / "manifest.json").stat().st_mtime
        named = (getattr(self.cfg.model, "path", None), self.cfg.sft.path)
        folders = [Path(path) for path in named if isinstance(path, str)]
        files = (file for folder in folders if folder.is_dir() for file in folder.iterdir())
        return "code" in artifact.manifest and all(file.stat().st_mtime <= made for file in files)


def section_digest(plain: Mapping[str, Any], name: str) -> str:
    """Of a section as far as it decides something; older configs lack some."""
    section = plain.get(name)
    if name == "adapter" and isinstance(section, Mapping) and section.get("kind") == "none":
        section = None
    if name == "generation" and isinstance(section, Mapping):  # the reward model's samples
        section = {key: section.get(key) for key in ("max_new_tokens", "stop")}
    return digest(one_spelling(deciding(name, section)))
