"""The packages that launchers and sweepers need beside ours. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

EXTRAS = (  # in the class's name, the package, the extra
    ("hydra_joblib_launcher", "hydra_plugins.hydra_joblib_launcher", "joblib"),
    ("hydra_submitit_launcher", "hydra_plugins.hydra_submitit_launcher", "slurm"),
    ("hydra_ray_launcher", "hydra_plugins.hydra_ray_launcher", "ray"),
    ("rlhf.OptunaSweeper", "optuna", "optuna"),
)
ELSEWHERE = ("SlurmLauncher", "RayLauncher")  # their jobs run on other machines


def missing_extras(chosen: Mapping[str, tuple[str, str]]) -> list[str]:
    """A sentence for each part that needs a package which is not installed.

    Args:
        chosen: of `launcher` and `sweeper`, the option's name and its class.
    """
    faults = []
    for part, (option, target) in chosen.items():
        package, extra = next((needs for mark, *needs in EXTRAS if mark in target), ("hydra", ""))
        try:
            there = find_spec(package) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            faults.append(
                f"hydra/{part}={option or extra} needs a package that is not there: pip install"
                f" 'rlhf[{extra}]'"
            )
    return faults
