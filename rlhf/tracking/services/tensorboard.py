"""TensorBoard: event files, a folder a run, which `tensorboard --logdir` shows side by side."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.tracking.services import events
from rlhf.tracking.services.results import failure, results, samples, texts
from rlhf.tracking.spool.follower import Follower
from rlhf.tracking.spool.opened import open_state
from rlhf.tracking.spool.sink import Row, Sink

SHOWN = 20  # samples: a text of TensorBoard is no table that scrolls
SYSTEM = "system"  # a folder beside the events: its steps are looks at the machine, not iterations


class TensorBoardSink(Sink):
    """The event files themselves say what has arrived."""

    service, file = "TensorBoard", "tracking.tensorboard.json"
    largest = 100_000  # metrics

    def __init__(self, directory: Path, state: dict[str, Any]) -> None:
        super().__init__(directory, state)
        self._files: events.EventFiles | None = None
        self._system: events.EventFiles | None = None

    @property
    def label(self) -> str:
        return f"TensorBoard in {self.state['settings']['logdir']}"

    @property
    def _opened(self) -> events.EventFiles:
        assert self._files is not None
        return self._files

    def open(self, *, resume: bool) -> dict[str, Any]:
        logdir = Path(self.state["settings"]["logdir"])
        known = self.state.get("folder")
        folder = self._taken(logdir) if known is None else logdir / known
        self._files = events.EventFiles(folder)
        return {
            "folder": str(folder.relative_to(logdir)),
            "delivered": self._files.last,
            "system": -1,  # asked of its files when there is something to add
            "link": f"tensorboard --logdir {shlex.quote(os.path.relpath(logdir))}",
        }

    def _taken(self, logdir: Path) -> Path:
        """A folder below that of the sweep, else of the study, that nobody has: another run of the
        same name gets its own."""
        group = self.state["tags"].get("sweep") or self.state["tags"].get("study") or "runs"
        name = re.sub(r"[^\w.=,+@ -]", "_", self.state["name"]).strip(". ") or "run"
        folder = logdir / re.sub(r"[^\w.-]", "_", group) / name
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            folder = folder.with_name(f"{name} {self.state['key'][:6]}")
            folder.mkdir(exist_ok=True)
        return folder

    def introduce(self) -> None:
        files, begun = self._opened, self.state["begun"]
        if "config.yaml" not in files.tags:
            config = dict(texts(self.directory)).get("config.yaml", "")
            files.write(0, begun, events.text("config.yaml", f"```yaml\n{config}\n```"))
        if not any(tag.startswith("_hparams_") for tag in files.tags):
            params = {key: _shown(value) for key, value in self.state["params"].items()}
            files.write(0, begun, events.settings(params, self.state["key"]))
        files.flush()

    def send(self, rows: Sequence[Row]) -> None:
        for row in rows:
            # what lacks its iteration would not be seen to be whole
            values = {**row.values, events.ITERATION: float(row.number)}
            self._opened.write(row.number, row.time, events.scalars(values))
            self.steps += 1
        self._opened.flush()

    def send_system(self, rows: Sequence[Row]) -> None:
        if self._system is None:
            self._system = events.EventFiles(self._opened.folder / SYSTEM)
        for row in rows:
            if row.number > self._system.last:
                values = {**row.values, events.ITERATION: float(row.number)}
                self._system.write(row.number, row.time, events.scalars(values))
        self._system.flush()

    def end(self, status: str, *, step: int, time: int, ended: int) -> None:
        """What is there from before a crash is not written twice."""
        files = self._opened
        files.write_new(step, time, events.scalars(results(self.directory)))
        outcome = f"{status}: {failure(self.directory)}" if status == "FAILED" else status
        columns, cells = samples(self.directory)
        written = {"status": outcome, **({"samples": _table(columns, cells)} if cells else {})}
        files.write_new(step, ended, *(events.text(*each) for each in written.items()))
        files.flush()
        self.drop()

    def drop(self) -> None:
        for files in filter(None, (self._files, self._system)):
            files.close()
        self._files = self._system = None

    @classmethod
    def lost(cls, state: Any) -> bool:
        """Whether the run's folder is gone from a folder of runs that is there."""
        logdir = Path(state["settings"]["logdir"])
        return logdir.is_dir() and not (logdir / str(state.get("folder"))).is_dir()


def _shown(value: Any) -> bool | float | str:
    return value if isinstance(value, (bool, int, float, str)) else "null"


def _table(columns: Sequence[str], cells: Sequence[Sequence[Any]]) -> str:
    """Markdown of the newest samples."""

    def line(row: Sequence[Any]) -> str:
        words = ("" if cell is None else str(cell) for cell in row)
        return "| " + " | ".join(re.sub(r"\s+", " ", w).replace("|", "\\|") for w in words) + " |"

    return "\n".join([line(columns), line(["---"] * len(columns)), *map(line, cells[:SHOWN])])


class TensorBoard(Follower):
    """Follows run directories into event files, one after another.

    Args:
        logdir: the folder of all runs.
        system_metrics: seconds between two looks at the machine; None: it is not looked at.
    """

    sink = TensorBoardSink

    def __init__(self, logdir: str, system_metrics: float | None = None) -> None:
        super().__init__(system_metrics)
        self.logdir = str(Path(logdir).expanduser().absolute())

    def opened(self, directory: Path, **shown: Any) -> dict[str, Any]:
        settings = {"logdir": self.logdir}
        return open_state(
            directory, self.sink.file, settings=settings, decides=("logdir",), **shown
        )
