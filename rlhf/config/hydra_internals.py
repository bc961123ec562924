"""The steps of `hydra.main` that have no public name."""

from __future__ import annotations

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra.core.utils import JobReturn, configure_log, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rlhf.config.composition.session import CONFIG_NAME


def run_composed(hydra: Hydra, config: DictConfig, task: TaskFunction) -> JobReturn:
    """Calls the task with a composed config, Hydra's node in it, as `Hydra.run` does after it has
    composed: logging, callbacks, the output directory, the environment."""
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    callbacks = Callbacks(config)
    callbacks.on_run_start(config=config, config_name=CONFIG_NAME)
    result = run_job(
        hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=callbacks),
        task_function=task,
        config=config,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
    )
    callbacks.on_run_end(config=config, config_name=CONFIG_NAME, job_return=result)
    return result
