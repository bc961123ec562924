"""What `rlhf --version` says."""

from __future__ import annotations

import json
import platform
import textwrap
from importlib.metadata import PackageNotFoundError, version

from rlhf import __version__
from rlhf.config.plugins.folders import conf_folders

PACKAGES = ("torch", "pytorch-lightning", "transformers", "hydra-core", "mlflow")


def versions() -> dict[str, str | None]:
    """Of rlhf, of Python and of what rlhf stands on; None of a package that is not installed. None
    of them is imported."""
    return {
        "rlhf": __version__,
        "python": platform.python_version(),
        **{package: _installed(package) for package in PACKAGES},
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def say_version(*, as_json: bool) -> int:
    """Prints them: rlhf's on the first line, the others on the second, then a line for each plugin.
    Returns exit code 0."""
    known, plugins = versions(), [str(plugin) for plugin in conf_folders().plugins]
    if as_json:
        print(json.dumps({**known, "plugins": plugins}, indent=2))
        return 0
    others = (f"{name} {number or 'missing'}" for name, number in known.items() if name != "rlhf")
    print(f"rlhf {__version__}", textwrap.fill(", ".join(others), 100), *plugins, sep="\n")
    return 0
