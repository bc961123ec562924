"""What this machine and installation have, as plain values. Neither torch nor MLflow is imported
but where a driver of a GPU is there."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from threading import Thread
from typing import Any

from rlhf.rundir.disk.space import existing, refused
from rlhf.runs.machine import devices
from rlhf.runs.machine.faults import cores, gpu_fault

PACKAGES = (
    *("rlhf", "torch", "transformers", "tokenizers", "pytorch-lightning", "mlflow"),
    *("hydra-core", "numpy", "peft", "safetensors"),
)
PATIENCE = 2.0  # seconds that a server has to answer
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
HUB = "https://huggingface.co"


def versions() -> dict[str, str | None]:
    """None: it is not installed, or runs from its source tree."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def machine() -> dict[str, Any]:
    """Cores, bytes of memory, GPUs, and why none of them can be used."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "memory": devices.memory(),
        "available": devices.available(),
        "gpus": [vars(gpu) for gpu in devices.gpus()],
        "gpu_fault": gpu_fault(),
    }


def disks(folders: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Of the disk of each folder, which need not be there, and of temporary files: bytes free and
    in all, and why nothing can be written."""
    answers = {}
    for folder in dict.fromkeys([*folders, tempfile.gettempdir()]):
        usage = shutil.disk_usage(existing(Path(folder)))
        fault = refused(Path(folder))
        answers[folder] = {"free": usage.free, "total": usage.total, "fault": fault}
    return answers


def extras() -> dict[str, list[str]]:
    """The optional parts of the installation, each with the packages that it lacks."""
    lacking: dict[str, list[str]] = {}
    try:
        requirements = metadata.requires("rlhf") or []
    except metadata.PackageNotFoundError:
        return {}
    for requirement in requirements:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        package = re.match(r"[\w.-]+", requirement)
        if extra and package:
            missing = lacking.setdefault(extra[1], [])
            missing += [package[0]] if _version(package[0]) is None else []
    return lacking


def hub() -> dict[str, Any]:
    """Whether models can be fetched, and what was seen. Offline nothing is asked."""
    for name in OFFLINE:
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return {"reachable": False, "why": f"{name} forbids to ask"}
    address = os.environ.get("HF_ENDPOINT", HUB)
    why = unreachable(address)
    return {"reachable": why is None, "why": why or f"{address} answers"}


def unreachable(address: str, patience: float = PATIENCE) -> str | None:
    """Why a web server does not answer; None where it does, whatever it says. Looking up a name has
    no time limit of its own, so that it is done aside."""
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=patience)
            outcome.append(None)
        except urllib.error.HTTPError:
            outcome.append(None)
        except (OSError, ValueError) as error:
            outcome.append(f"{address}: {getattr(error, 'reason', error)}")

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience)
    return outcome[0] if outcome else f"{address}: no answer within {patience:g} s"
