"""The state file of a service other than MLflow: what it shall have of a run, and how much has
arrived."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlhf.rundir.secrets.redact import redact_text, redact_value
from rlhf.tracking.base import Dataset
from rlhf.tracking.state import home, mend, now, write_state

PLAIN = (bool, int, float, str, type(None))


def open_state(
    directory: Path,
    file: str,
    *,
    settings: Mapping[str, Any],
    decides: Sequence[str],
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    datasets: Sequence[Dataset] = (),
) -> dict[str, Any]:
    """The state with what this start says of the run; a new one if the directory was tracked
    elsewhere, or never, or is a copy of one that was.

    Args:
        settings: the tracker's, without secrets.
        decides: those of them that say where the run lies: with another value it is another run.
    """
    old, place = mend(directory, file), {key: settings[key] for key in decides}
    before = old.get("settings", {})
    same = bool(old) and {key: before.get(key) for key in decides} == place
    state: dict[str, Any] = (
        old if same else {"key": uuid.uuid4().hex, "delivered": -1, "system": -1, "starts": 0}
    )
    state.update(
        home=home(directory),
        settings=dict(settings),
        name=name,
        closed=None,
        ended=None,
        begun=state.get("begun") or now(),
        params={key: _plain(redact_value(key, value)) for key, value in params.items()},
        tags={key: redact_text(str(value)) for key, value in tags.items()},
        datasets=[
            {**asdict(data), "source": json.dumps(redact_value("", data.source))}
            for data in datasets
        ],
        starts=state["starts"] + 1,
    )
    write_state(directory, state, file)
    return state


def _plain(value: Any) -> Any:
    return value if isinstance(value, PLAIN) else json.dumps(value, default=str)
