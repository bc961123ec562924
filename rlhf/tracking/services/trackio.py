"""Trackio: a sqlite file a project, on this computer, which `trackio show` opens."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rlhf.tracking.services.results import failure, results, samples
from rlhf.tracking.spool.follower import Follower
from rlhf.tracking.spool.opened import open_state
from rlhf.tracking.spool.sink import Row, Sink


def _storage() -> Any:
    """Trackio's store of this computer. Each of its rows has a name of its own, and one that is
    there is left as it is: sent again, it changes nothing."""
    from trackio.sqlite_storage import SQLiteStorage

    return SQLiteStorage


class TrackioSink(Sink):
    """The database itself says what has arrived."""

    service, file = "Trackio", "tracking.trackio.json"
    largest = 20_000  # metrics

    @property
    def label(self) -> str:
        return f"Trackio's project {self._project}"

    @property
    def _project(self) -> str:
        return str(self.state["settings"]["project"])

    def open(self, *, resume: bool) -> dict[str, Any]:
        store = _storage()
        store.validate_project_name(self._project)
        last = store.get_last_step(self._project, run_id=self.state["key"])
        return {
            # whichever is less: what is sent again is left as it is
            "delivered": -1 if last is None else min(int(last), self.state["delivered"]),
            "system": -1 if last is None else self.state["system"],
            "link": f"trackio show --project {shlex.quote(self._project)}",
        }

    def send(self, rows: Sequence[Row]) -> None:
        self._log({str(row.number): (row.number, row.time, row.values) for row in rows})

    def _log(self, rows: Mapping[str, tuple[int, int, Mapping[str, Any]]]) -> None:
        """The rows by their names within the run; all of them arrive or none does."""
        steps, times, values = zip(*rows.values(), strict=True)
        _storage().bulk_log(
            self._project,
            self.state["name"],
            [dict(each) for each in values],
            steps=list(steps),
            timestamps=list(map(_written, times)),
            config=self._config(),
            log_ids=[f"{self.state['key']}-{name}" for name in rows],
            run_id=self.state["key"],
        )
        self.steps += 1

    def send_system(self, rows: Sequence[Row]) -> None:
        _storage().bulk_log_system(
            self._project,
            self.state["name"],
            [dict(row.values) for row in rows],
            timestamps=[_written(row.time) for row in rows],
            log_ids=[f"{self.state['key']}-system-{row.number}" for row in rows],
            run_id=self.state["key"],
        )

    def end(self, status: str, *, step: int, time: int, ended: int) -> None:
        from trackio.table import Table

        outcome = failure(self.directory) if status == "FAILED" else None
        last: dict[str, Any] = {**results(self.directory), "status": outcome or status}
        columns, cells = samples(self.directory)
        if cells:
            rows = [dict(zip(columns, row, strict=True)) for row in cells]
            last["samples"] = {"_type": Table.TYPE, "_value": rows}
        self._log({f"end-{self.state['starts']}": (step, time, last)})

    def _config(self) -> dict[str, Any]:
        tags = self.state["tags"]
        return {
            **self.state["params"],
            "_Created": _written(self.state["begun"]),
            "_Group": tags.get("sweep") or tags.get("stage"),
        }


def _written(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


class Trackio(Follower):
    """Follows run directories into a project of Trackio on this computer, one after another.

    Args:
        system_metrics: seconds between two looks at the machine; None: it is not looked at.
    """

    sink = TrackioSink

    def __init__(self, project: str, system_metrics: float | None = None) -> None:
        super().__init__(system_metrics)
        self.project = project

    def opened(self, directory: Path, **shown: Any) -> dict[str, Any]:
        settings = {"project": self.project}
        return open_state(
            directory, self.sink.file, settings=settings, decides=("project",), **shown
        )
