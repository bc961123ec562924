"""What a package says of the pieces it brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plugin:
    """The pieces of a package, where they are not laid out the usual way.

    A package that keeps its YAMLs in a folder `conf` of its own and its classes anywhere in itself
    needs none: its entry point names the package. Another names an object of this class,
    `name = "package:plugin"`, which is imported with every command, so keep that module light.

    Args:
        conf: the folder of its config groups.
        targets: the packages that its YAMLs name classes and functions of.
    """

    conf: Path | str
    targets: Sequence[str]
