"""What `conf/` holds, by its files alone, without the schema: groups, options, what is chosen where
nobody chooses, and keys. Quick enough for completion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from rlhf.config.described.commented import Choice, read
from rlhf.config.described.files import group_files
from rlhf.config.described.layers import Files, Layered, layered, places
from rlhf.config.plugins.folders import conf_folders

HIDDEN = ("hydra/help",)  # the command's own
TOP = "config"  # the file at the top, the only option of the group without a name


@dataclass(frozen=True, eq=False)
class Contents:
    """The files of `conf/` and of folders beside it."""

    files: Files

    @cached_property
    def chosen(self) -> dict[str, Choice]:
        """By group: what config.yaml chooses, and what that chooses."""
        return {choice.group: choice for choice in self._chosen()}

    def _chosen(self) -> Iterator[Choice]:
        for choice in filter(lambda choice: choice.group, read(self.files[""][TOP]).defaults):
            if choice.option in self.files.get(choice.group, ()):
                yield from layered(self.files, choice.group, str(choice.option)).chooses
            yield choice

    def comment(self, group: str) -> str:
        """One line about a group."""
        if group in self.chosen and self.chosen[group].comment:
            return self.chosen[group].comment
        return read(next(iter(self.files[group].values())), group).head

    def default(self, group: str) -> str | None:
        """The option that is chosen where nobody chooses."""
        return self.chosen[group].option if group in self.chosen else None

    def option(self, group: str, name: str) -> Layered:
        """An option with what it stands on."""
        return layered(self.files, group, name)

    def own_keys(self, group: str, name: str) -> list[str]:
        """The dotted names of an option's own values, in the group's first place."""
        place = next(iter(places(group)), None)
        if place is None:
            return []
        own = [key for key in self.option(group, name).values if below(key, place)]
        return sorted(own, key=lambda key: key.count("."))


def below(key: str, place: str) -> bool:
    """True if a dotted name stands in a place; at the top everything does but Hydra's own."""
    return key.startswith(f"{place}.") if place else not key.startswith("hydra.")


def contents(config_dir: str | Path | None = None) -> Contents:
    """What `conf/` holds, and beside it what installed plugins and `config_dir` bring.

    Raises:
        FileNotFoundError: there is no folder `config_dir`.
    """
    return _contents(conf_folders(config_dir).paths)


@cache
def _contents(folders: tuple[Path, ...]) -> Contents:
    ours, *_ = folders
    groups = {"": {TOP: ours / f"{TOP}.yaml"}, **group_files(folders)}
    return Contents({name: options for name, options in groups.items() if name not in HIDDEN})
