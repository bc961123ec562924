"""Following a run's directory into MLflow. Importing this package imports no MLflow."""

from rlhf.tracking.base import NoTracker, Status, Tracker
from rlhf.tracking.links import compare_link, run_link, ui_command
from rlhf.tracking.mlflow import MLflowTracker, deliver, pending
from rlhf.tracking.store import prepare_store
from rlhf.tracking.summary import log_sweep_summary

__all__ = [
    "MLflowTracker",
    "NoTracker",
    "Status",
    "Tracker",
    "compare_link",
    "deliver",
    "log_sweep_summary",
    "pending",
    "prepare_store",
    "run_link",
    "ui_command",
]
