"""Imports MLflow as `connect` does, for a process that others are forked from: quietly, and with
no thread of its telemetry."""

from rlhf.tracking.store import quiet

quiet()

import mlflow  # noqa: E402, F401
