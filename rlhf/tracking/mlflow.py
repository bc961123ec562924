"""MLflow: a database file, or a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlhf.metrics import MLFLOW_FIRST
from rlhf.rundir.paths.points import path_of
from rlhf.rundir.secrets.redact import redact_text
from rlhf.tracking import artifacts
from rlhf.tracking.addresses import absolute_uri, database
from rlhf.tracking.links import describe, with_tags
from rlhf.tracking.lookup import DIRECTORY_TAG
from rlhf.tracking.spool.follower import Follower
from rlhf.tracking.spool.sink import Row, Sink
from rlhf.tracking.state import STATE, lost, open_state, read_own
from rlhf.tracking.store import Client, StoredRun, connect, prepare_store
from rlhf.tracking.summary import summary_run, sweep_lock

KEY_TAG, PARENT_TAG = "rlhf.key", "mlflow.parentRunId"


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


class MLflowSink(Sink):
    """`largest`: MLflow takes 1000 metrics at once, and a slow server has 5 s for each batch."""

    service, file = "MLflow", STATE

    def __init__(self, directory: Path, state: dict[str, Any]) -> None:
        super().__init__(directory, state)
        self._database = database(state["uri"])
        self._client: Client | None = None
        self._run: StoredRun | None = None

    @property
    def label(self) -> str:
        return f"MLflow at {redact_text(self.state['uri'])}"

    def moved(self) -> object:
        """Where we wait for a sqlite file: what whoever makes it or writes to it does."""
        return movement(self._database) if self._database else ()

    @classmethod
    def lost(cls, state: Mapping[str, Any]) -> bool:
        return lost(state)

    @property
    def _open(self) -> tuple[Client, str]:
        assert self._client is not None
        return self._client, self.state["run_id"]

    def open(self, *, resume: bool) -> dict[str, Any]:
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
        self._client, self._run = client, run
        # The metric `iteration` travels in each batch, so it is MLflow's own word on what arrived.
        arrived = int(run.data.metrics.get("iteration", -1))
        # what a store that has lost the run had of the machine is to be sent again, too
        system = state.get("system", -1) if run.info.run_id == state["run_id"] else -1
        return {
            "run_id": run.info.run_id,
            "experiment_id": experiment_id,
            "delivered": arrived,
            "system": system,
        }

    def introduce(self) -> None:
        (client, run_id), run = self._open, self._run
        assert run is not None
        artifacts.send_params(client, run, self.state)
        if self.state.get("datasets") and not (run.inputs and run.inputs.dataset_inputs):
            artifacts.send_datasets(client, run_id, self.state["datasets"])
        # the whole resolved config: params may be cut, this is not
        artifacts.send_file(client, run_id, self.directory / "config.yaml")

    def send(self, rows: Sequence[Row]) -> None:
        # MLflow's compare page opens on the metric that a run logged first
        self._log(rows, first=MLFLOW_FIRST)

    def send_system(self, rows: Sequence[Row]) -> None:
        """Sent again a row changes nothing: same key, value, step and timestamp are one to
        MLflow."""
        self._log(rows)

    def _log(self, rows: Sequence[Row], first: Sequence[str] = ()) -> None:
        from mlflow.entities import Metric

        client, run_id = self._open
        metrics = []
        for row in rows:
            ordered = dict.fromkeys([*(key for key in first if key in row.values), *row.values])
            metrics += [Metric(key, row.values[key], row.time, row.number) for key in ordered]
        if metrics:
            client.log_batch(run_id, metrics=metrics, synchronous=True)

    def end(self, status: str, *, step: int, time: int, ended: int) -> None:
        client, run_id = self._open
        artifacts.send_end(client, run_id, self.directory, step=step, timestamp=time)
        for name in artifacts.FILES:
            artifacts.send_file(client, run_id, self.directory / name)
            self.steps += 1
        artifacts.send_samples(client, run_id, self.directory)
        self.steps += 1
        describe(client, run_id)
        client.set_terminated(run_id, status, ended)

    def drop(self) -> None:
        self._client = self._run = None

    def _above(self, client: Client, experiment_id: str) -> dict[str, str]:
        """The tag by which MLflow nests the run: a path's point below the path's run, a job below
        its sweep's summary.

        Raises:
            LookupError: the path's run is not there yet, as its own delivery has not come so far.
        """
        if (path := path_of(self.directory)) is not None:
            state = read_own(path)
            if state and not state.get("run_id"):
                raise LookupError(f"{path} comes first")
            return {PARENT_TAG: state["run_id"]} if state else {}
        sweep, parent = self.state["tags"]["sweep"], self.directory.parent
        with sweep_lock(parent):
            return {PARENT_TAG: summary_run(client, experiment_id, sweep, parent)}


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


class MLflowTracker(Follower):
    """Follows run directories into an experiment of an MLflow store, one after another.

    Args:
        nested: puts the runs of a sweep below its summary run.
        system_metrics: seconds between two looks at the machine; None: it is not looked at.

    Raises:
        ValueError: the address is none that MLflow can store runs at.
    """

    sink = MLflowSink

    def __init__(
        self,
        uri: str,
        experiment: str,
        nested: bool = False,
        system_metrics: float | None = None,
    ) -> None:
        super().__init__(system_metrics)
        self.uri, self.experiment, self.nested = absolute_uri(uri), experiment, nested

    def opened(self, directory: Path, **shown: Any) -> dict[str, Any]:
        uri, experiment, nested = self.uri, self.experiment, self.nested
        return open_state(directory, uri=uri, experiment=experiment, nested=nested, **shown)
