"""The files of config folders: groups are folders, options are files. By their names alone, so that
completion can ask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

WITH_FOLDERS = ("experiment",)  # groups whose options may lie in folders: claims/k2_in_loss


def group_files(roots: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Group -> option -> file, by name; the files at the top aside. Of two files of a name the
    first root's counts."""
    groups: dict[str, dict[str, Path]] = {}
    for root in reversed(roots):
        for path in root.rglob("*.yaml"):
            *folders, file = path.relative_to(root).parts
            depth = 1 if folders[:1] and folders[0] in WITH_FOLDERS else len(folders)
            if folders:
                name = "/".join([*folders[depth:], file.removesuffix(".yaml")])
                groups.setdefault("/".join(folders[:depth]), {})[name] = path
    return {name: dict(sorted(groups[name].items())) for name in sorted(groups)}
