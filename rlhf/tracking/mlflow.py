"""MLflow as a tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlhf.tracking.sink import MLflowSink
from rlhf.tracking.spool.follower import Follower
from rlhf.tracking.state import open_state
from rlhf.tracking.store import absolute_uri


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
