"""Who needs an artifact, or one that is being made: any run in sight, finished or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rlhf.clean.ours import not_ours
from rlhf.config.schema import Config
from rlhf.config.stages import STAGES
from rlhf.config.validate import ConfigError, validate
from rlhf.inventory import ArtifactEntry, Inventory, Leftover, RunEntry
from rlhf.inventory.walk import SWEEP
from rlhf.rundir.disk.uses import users
from rlhf.rundir.noted import CONFIG, MANIFEST, SUMMARY
from rlhf.rundir.read import collecting, read_text, read_yaml
from rlhf.rundir.words import plural
from rlhf.runs.planned.stages import OWN, Wanted, section_digest

TEXTS = (MANIFEST, CONFIG, SUMMARY)  # of a run: a fingerprint in one of them is a need


@dataclass(frozen=True)
class Needs:
    """Of the runs and artifacts of an inventory."""

    inventory: Inventory
    _texts: dict[Path, str] = field(default_factory=dict)

    @cached_property
    def runs(self) -> list[RunEntry]:
        return [each for run in self.inventory.every_run() for each in (*run.points, run)]

    @cached_property
    def unknown(self) -> list[Unknown]:
        """The runs that have not written down yet what they stand on, or whose manifest cannot be
        believed."""
        begun = [Unknown(run) for run in self.runs if has_begun(run)]
        return [each for each in begun if each.is_unknown]

    def of_artifact(self, artifact: ArtifactEntry) -> str:
        """Why an artifact is needed; empty where it is not."""
        return self._reasons.get(artifact.directory, "")

    @cached_property
    def _reasons(self) -> dict[Path, str]:
        """By directory. What an artifact stands on that is needed, or not ours to remove, is
        needed."""
        every = self.inventory.artifacts
        reasons = {a.directory: reason for a in every if (reason := self._direct(a))}
        waiting = [a for a in every if a.directory in reasons or not_ours(a)]
        while waiting:
            user = waiting.pop()
            text = self._text(user.directory, (MANIFEST,))
            for other in (each for each in every if each is not user):
                needs = user.directory in other.used_by or other.key.fingerprint in text
                if needs and other.directory not in reasons:
                    reasons[other.directory] = f"{user.name} stands on it"
                    waiting.append(other)
        return reasons

    def _direct(self, artifact: ArtifactEntry) -> str:
        own = artifact.key.fingerprint
        named = [
            run
            for run in self.runs
            if run.directory in artifact.used_by or own in self._text(run.directory, TEXTS)
        ]
        named += [run for run in self._noted(artifact.directory) if run not in named]
        if named:
            working = [run for run in named if not run.is_finished]
            of = f", {len(working)} of them not finished" if working else ""
            return f"{plural(len(named), 'run')} in sight need{'s' * (len(named) == 1)} it{of}"
        for run in self.unknown:
            if run.may_need(artifact.key.stage, artifact.manifest.get("config")):
                return f"{run.directory} is not finished and may need it"
        if words := self._of_sweeps(artifact) or self._of_unread():
            return words
        return used_elsewhere(artifact.directory)

    def _of_sweeps(self, artifact: ArtifactEntry) -> str:
        """What jobs that have no directory yet may need: what their command names, and while they
        are waited for any stage that a run can stand on."""
        own, stage = artifact.key.fingerprint, STAGES.get(artifact.key.stage)
        for sweep in self.inventory.sweeps:
            if own in self._text(sweep.directory, (SWEEP,)):
                return f"{sweep.directory} names it"
            if sweep.states["waiting"] and not (stage and stage.is_run):
                return f"a job of {sweep.directory} has yet to begin and may need it"
        return ""

    def _of_unread(self) -> str:
        unread = self.inventory.unread
        return f"{unread[0]} cannot be read, and may hold a run that needs it" if unread else ""

    def _noted(self, place: Path) -> list[RunEntry]:
        """The runs that have got, or asked for, the artifact of this place."""
        there = {Path(user.directory).resolve() for user in users(place)}
        return [self._places[own] for own in there if own in self._places]

    @cached_property
    def _places(self) -> dict[Path, RunEntry]:
        return {run.directory.resolve(): run for run in self.runs}

    def of_work(self, work: Leftover) -> str:
        """Why what a killed process left half-made is needed; empty where it is not."""
        with collecting():
            config = read_yaml(work.directory / CONFIG)
        for run in self.unknown:
            if run.may_need(work.key.stage, config):
                return f"{run.directory} is not finished and may go on with it"
        unfinished = [run for run in self.runs if has_begun(run) and not run.is_finished]
        own = work.key.fingerprint
        place = work.directory.with_name(own)
        named = [run for run in unfinished if own in self._text(run.directory, TEXTS)]
        named += [run for run in self._noted(place) if not run.is_finished]
        if named:
            return f"{named[0].directory} goes on with it"
        return self._of_unread() or used_elsewhere(place)

    def _text(self, directory: Path, names: Sequence[str]) -> str:
        if directory not in self._texts:
            with collecting():
                texts = (read_text(directory / name) or "" for name in names)
                self._texts[directory] = "\n".join(texts)
        return self._texts[directory]


def used_elsewhere(place: Path) -> str:
    """Who uses an artifact where it cannot be seen from here; empty where nobody is noted."""
    elsewhere = (user for user in users(place) if user.is_elsewhere)
    return next((f"{user.directory} on {user.host} uses it" for user in elsewhere), "")


def has_begun(run: RunEntry) -> bool:
    """False of a job of a sweep that has no directory yet."""
    return any((run.directory / name).exists() for name in (*TEXTS, ".lock"))


@dataclass(frozen=True)
class Unknown:
    """A run of which it may not be known what it stands on."""

    run: RunEntry

    @property
    def directory(self) -> Path:
        return self.run.directory

    @property
    def is_unknown(self) -> bool:
        if any(sentence.startswith(MANIFEST) for sentence in self.run.damage):
            return True
        return not self.run.is_finished and not self.run.parents

    def may_need(self, stage: str, config: Any) -> bool:
        """Whether the run may need an artifact of this stage that was made with this config. Where
        one of both configs says nothing, it may."""
        if stage not in OWN or not isinstance(config, Mapping) or self.config is None:
            return True
        wanted = Wanted(cfg=self.config, plain=self.plain, stage=stage, contents=None)
        alike = {**wanted.own}
        section = alike.pop(stage, None)
        same = all(section_digest(config, name) == mine for name, mine in alike.items())
        # an ensemble's further reward models have other seeds
        return same and (stage == "reward_model" or section == section_digest(config, stage))

    @cached_property
    def plain(self) -> dict[str, Any]:
        kept = self.run.manifest.get("config")
        with collecting():
            plain: dict[str, Any] = (
                kept if isinstance(kept, dict) else read_yaml(self.directory / CONFIG)
            )
        return plain

    @cached_property
    def config(self) -> Config | None:
        damaged = any(sentence.startswith(MANIFEST) for sentence in self.run.damage)
        try:
            return None if damaged or not self.plain else validate(self.plain)
        except (ConfigError, TypeError, ValueError):
            return None


def unneeded(needs: Needs) -> Iterator[ArtifactEntry]:
    yield from (a for a in needs.inventory.artifacts if not needs.of_artifact(a))
