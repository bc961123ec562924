"""Settings as MLflow takes them: flat, short, without secrets, written once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlhf.rundir.names import snake
from rlhf.rundir.redact import redact_value

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LONGEST = 500  # characters; what every MLflow server takes. config.yaml holds the whole value
PER_REQUEST = 100  # params or tags


def written(params: Mapping[str, Any]) -> dict[str, str]:
    """As they are sent. A class goes by its piece, one of ours by its YAML name:
    `kl.controller._target_`: rlhf.kl.controller.PID is `kl.controller`: pid.
    """
    return dict(_written(key, value) for key, value in params.items())


def _written(key: str, value: Any) -> tuple[str, str]:
    if key.endswith("._target_"):
        return key_of(key.removesuffix("._target_")), (
            snake(value) if str(value).startswith("rlhf.") else _text(value)
        )
    return key_of(key), _text(redact_value(key, value))


def send_params(client: MlflowClient, run: Run, state: dict[str, Any]) -> None:
    """Params can be written once. A value that a later start changes becomes the tag
    `resume.<n>.<key>`, n counting starts from 1."""
    from mlflow.entities import Param, RunTag

    there = run.data.params
    new = [Param(k, v) for k, v in state["params"].items() if k not in there]
    changed = [
        RunTag(f"resume.{state['starts'] - 1}.{k}", v)
        for k, v in state["params"].items()
        if k in there and there[k] != v
    ]
    for i in range(0, len(new), PER_REQUEST):
        client.log_batch(run.info.run_id, params=new[i : i + PER_REQUEST], synchronous=True)
    for i in range(0, len(changed), PER_REQUEST):
        client.log_batch(run.info.run_id, tags=changed[i : i + PER_REQUEST], synchronous=True)


def key_of(name: str) -> str:
    """A name that MLflow takes: letters, digits and `_ - . / space`; no empty, `.` or `..` part."""
    parts = (
        part for part in re.sub(r"[^\w\-./ ]", "_", name).split("/") if part not in ("", ".", "..")
    )
    return "/".join(parts)[:250] or "_"


def _text(value: Any) -> str:
    """As YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
