"""The names by which people and files know things."""

from __future__ import annotations

import re


def snake(class_path: object) -> str:
    """The YAML name of a class: `rlhf.kl.controller.AdaptiveAlpacaFarm` ->
    `adaptive_alpaca_farm`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(class_path).rsplit(".", 1)[-1]).lower()
