"""Brings one run directory into one MLflow run, every iteration once.

MLflow is asked for the last iteration whenever the two may differ (after a start, after an error),
so that a crash between sending a line and noting it sends nothing twice.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from rlhf.metrics import MLFLOW_FIRST
from rlhf.rundir.paths.points import path_of
from rlhf.rundir.read import Lines, number
from rlhf.tracking import artifacts
from rlhf.tracking.links import describe, with_tags
from rlhf.tracking.lookup import DIRECTORY_TAG
from rlhf.tracking.state import finite, key_of, now, read_own, write_state
from rlhf.tracking.store import Client, StoredRun, connect, database, prepare_store
from rlhf.tracking.summary import summary_run, sweep_lock

KEY_TAG, PARENT_TAG = "rlhf.key", "mlflow.parentRunId"
MOST_METRICS = 500  # in one batch; MLflow takes 1000, and a slow server has 5 s for each


def batch(line: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a line of metrics.jsonl; `nonfinite` counts the infinite ones, which are left
    out."""
    metrics = finite({key_of(key): value for key, value in line.items()})
    infinite = sum(number(value) in (math.inf, -math.inf) for value in line.values())
    return metrics | {"nonfinite": float(infinite)} if infinite else metrics


def movement(path: Path) -> list[tuple[str, int, int]]:
    """Sizes and times of a sqlite file and of what is made beside it: they change while anybody
    writes. Not of locks, which whoever looks at one touches."""
    stats = []
    for file in path.parent.iterdir() if path.parent.is_dir() else ():
        if file.name.startswith(path.name) and file.suffix != ".lock":
            with suppress(OSError):
                stat = file.stat()
                stats.append((file.name, stat.st_size, stat.st_mtime_ns))
    return sorted(stats)


class Delivery:
    """Synchronous: every method may wait for MLflow and may raise. One at a time for a
    directory, held by a file lock."""

    def __init__(self, directory: Path, state: dict[str, Any]) -> None:
        self.directory, self.state = directory, state
        self.abandoned = threading.Event()  # set when nobody waits any more: write nothing
        self._writing = threading.Lock()
        self._lock = FileLock(directory / ".tracking.lock", thread_local=False)
        self._metrics = Lines(directory / "metrics.jsonl")
        self._timings = Lines(directory / "timings.jsonl")
        self._backlog: deque[dict[str, Any]] = deque()
        self._times: dict[int, int] = {}
        self._client: Client | None = None
        self._steps = 0  # that the store took
        self._file = database(state["uri"])

    def progress(self) -> tuple[object, ...]:
        """A value that changes while anything is delivered: by us, or, where we wait for a sqlite
        file, by whoever makes it or writes to it."""
        return self._steps, movement(self._file) if self._file else ()

    @property
    def waiting(self) -> str:
        """How much of the run has arrived."""
        path = self.directory / "metrics.jsonl"
        rows = path.read_bytes().count(b"\n") if path.is_file() else 0
        return f"{self.state['delivered'] + 1} of {rows} iterations"

    def advance(self, *, resume: bool = True) -> None:
        """Deliver the lines that are new. `resume` says that the run goes on: its status becomes
        RUNNING."""
        client = self._client = self._client or self._connected(resume)
        self._read()
        while self._backlog and not self.abandoned.is_set():
            batches = self._next()
            try:
                self._send(client, batches)
            except Exception:
                self._client = None  # it may have arrived: ask before sending again
                raise
            for _ in batches:
                self._backlog.popleft()

    def close(self, status: str, ended: int | None = None) -> None:
        """Deliver the end of a run: its final numbers, files and status. Call after `advance`."""
        assert self._client is not None
        run_id = self.state["run_id"]
        last = max(self.state["delivered"], 0)
        artifacts.send_end(
            self._client,
            run_id,
            self.directory,
            step=last,
            timestamp=self._times.get(last, self.state["begun"]),
        )
        for name in artifacts.FILES:
            artifacts.send_file(self._client, run_id, self.directory / name)
            self._steps += 1
        artifacts.send_samples(self._client, run_id, self.directory)
        self._steps += 1
        describe(self._client, run_id)
        self._client.set_terminated(run_id, status, ended or now())
        self._save(closed=status)

    def release(self) -> None:
        self._client = None
        self._lock.release()

    def abandon(self, status: str) -> None:
        """Note how the run ended, for whoever delivers the rest: nobody waits any more."""
        with self._writing:
            self.abandoned.set()
            self.state["ended"] = {"status": status, "time": now()}
            write_state(self.directory, self.state)

    def _save(self, **changes: Any) -> None:
        with self._writing:
            if self.abandoned.is_set():
                raise RuntimeError("nobody waits for this delivery any more")
            self.state.update(changes)
            write_state(self.directory, self.state)
            self._steps += 1

    def _read(self) -> None:
        for row in self._timings.read():
            seconds = number(row.get("time"))
            if isinstance(row.get("iteration"), int) and seconds and 0 < seconds < math.inf:
                self._times[row["iteration"]] = round(seconds * 1000)
        newest = self._backlog[-1]["iteration"] if self._backlog else self.state["delivered"]
        for row in self._metrics.read():
            if isinstance(row.get("iteration"), int) and row["iteration"] > newest:
                self._backlog.append(row)
                newest = row["iteration"]

    def _next(self) -> dict[int, dict[str, float]]:
        """The metrics of the oldest iterations that wait, as many as MLflow takes at once: all of
        them arrive or none does."""
        batches: dict[int, dict[str, float]] = {}
        count = 0
        for line in self._backlog:
            metrics = batch(line)
            count += len(metrics)
            if batches and count > MOST_METRICS:
                break
            batches[line["iteration"]] = metrics
        return batches

    def _send(self, client: Client, batches: Mapping[int, Mapping[str, float]]) -> None:
        from mlflow.entities import Metric

        metrics = []
        for iteration, values in batches.items():
            if iteration > self.state["delivered"]:
                stamp = self._times.get(iteration) or now()
                # MLflow's compare page opens on the metric that a run logged first
                ordered = dict.fromkeys([*(key for key in MLFLOW_FIRST if key in values), *values])
                metrics += [Metric(key, values[key], stamp, iteration) for key in ordered]
        if metrics:
            client.log_batch(self.state["run_id"], metrics=metrics, synchronous=True)
            self._save(delivered=max(batches))

    def _above(self, client: Client, experiment_id: str) -> dict[str, str]:
        """The tag by which MLflow nests the run: a path's point below the path's run, a job below
        its sweep's summary."""
        if (path := path_of(self.directory)) is not None:
            run_id = read_own(path).get("run_id")
            return {PARENT_TAG: run_id} if run_id else {}
        sweep, parent = self.state["tags"]["sweep"], self.directory.parent
        with sweep_lock(parent):
            return {PARENT_TAG: summary_run(client, experiment_id, sweep, parent)}

    def _connected(self, resume: bool) -> Client:
        if not self._lock.is_locked:
            self._lock.acquire(timeout=1)
        state = self.state
        experiment_id = prepare_store(state["uri"], state["experiment"])
        client = connect(state["uri"])
        run = _find(client, experiment_id, state)
        above = self._above(client, experiment_id) if state.get("nested") else {}
        if run is None:
            tags = {
                KEY_TAG: state["key"],
                DIRECTORY_TAG: str(self.directory.resolve()),
                "mlflow.source.name": "rlhf",
            }
            run = client.create_run(
                experiment_id,
                start_time=state["begun"],
                tags=state["tags"] | tags | above,
                run_name=state["name"],
            )
            if not run.info.run_id:  # whoever answers there is no MLflow
                raise ValueError(f"{state['uri']} makes runs without an id")
        elif resume and run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        for key, value in above.items() - run.data.tags.items():
            client.set_tag(run.info.run_id, key, value)
        # The metric `iteration` travels in each batch, so it is MLflow's own word on what arrived.
        self._save(
            run_id=run.info.run_id,
            experiment_id=experiment_id,
            delivered=int(run.data.metrics.get("iteration", -1)),
        )
        artifacts.send_params(client, run, state)
        if state.get("datasets") and not (run.inputs and run.inputs.dataset_inputs):
            artifacts.send_datasets(client, run.info.run_id, state["datasets"])
        # the whole resolved config: params may be cut, this is not
        artifacts.send_file(client, run.info.run_id, self.directory / "config.yaml")
        return client


def _find(client: Client, experiment_id: str, state: dict[str, Any]) -> StoredRun | None:
    """The run of this state if it is there and not deleted. A run created just before a crash is
    found by its key, as is the one of a store that was brought back from a backup: it has the run
    under an earlier number."""
    from mlflow.exceptions import MlflowException

    if state["run_id"]:
        try:
            run = client.get_run(state["run_id"])
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        else:
            return run if run.info.lifecycle_stage == "active" else None
    known = {KEY_TAG: state["key"]}
    if state.get("damaged"):
        known = {DIRECTORY_TAG: state["home"]["path"]}
    # the newest first
    return next(iter(client.search_runs([experiment_id], with_tags(known), max_results=1)), None)
