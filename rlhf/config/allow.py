"""The `_target_`s that a config may name. Instantiating one runs code, so the list is exact and
lives here, not in any YAML."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from rlhf.config.plugins.folders import allowed_packages

ENVIRONMENT = "RLHF_ALLOW_TARGETS"
REMOTE_CODE = "transformers_modules.code"  # where transformers puts code that comes with a model


def allow(*packages: str) -> None:
    """Adds packages to what the user allowed; jobs get it by the environment."""
    before = os.environ.get(ENVIRONMENT, "")
    os.environ[ENVIRONMENT] = ",".join(filter(None, [before, *packages]))


def allowed_flags() -> list[str]:
    """`--allow-targets=...` with what it or the environment allows, if anything."""
    given = dict.fromkeys(filter(None, os.environ.get(ENVIRONMENT, "").split(",")))
    return [f"--allow-targets={','.join(given)}"] if given else []


def add_option(parser: ArgumentParser) -> None:
    """Adds `--allow-targets` to a command that reads a config which was kept."""
    parser.add_argument(
        "--allow-targets",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package of yours that the config names classes or functions of;"
        " transformers_modules: code that comes with a model",
    )


def user_allowed(target: object) -> bool:
    """True if `target` lies in a package the user allowed: by `--allow-targets`, the environment or
    a plugin that is installed, never by a config. `mine` allows `mine.kl.Fixed`, not
    `mineral.Fixed`."""
    if not isinstance(target, str):
        return False
    given = (part.strip().rstrip(".") for part in os.environ.get(ENVIRONMENT, "").split(","))
    return any(target.startswith(f"{each}.") for each in (*given, *allowed_packages()) if each)


def targets(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every `_target_` in a plain config with the path of the node that holds it, at any depth."""
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node["_target_"]
        for key, value in node.items():
            yield from targets(value, (*path, str(key)))


def refusal(target: object, kind: str = "class") -> str:
    several = {"class": "Classes", "function": "Functions"}[kind]
    return (
        f"{target} is not an allowed {kind}. {several} of your own need --allow-targets=<package> "
        f"(or {ENVIRONMENT}=<package>) on the command line"
    )
