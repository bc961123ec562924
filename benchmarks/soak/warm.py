"""Imported once by the server that commands are forked from: all that any of them would import."""

import gc
import importlib

for module in (
    "rlhf.runs.preload",
    "rlhf.commands.runs.run",
    "rlhf.commands.runs.reproduce",
    "rlhf.compare.comparison",
    "rlhf.data.sources.micro",
    "rlhf.models.load",
    "rlhf.reproduce.session",
    "rlhf.sweeps.multirun",
    "rlhf.tracking.mlflow",
    "altair",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.tracking.rest_store",
    "scipy.special",
):
    importlib.import_module(module)
gc.freeze()  # no command's collections look at what was imported
