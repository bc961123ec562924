"""What a config asks of this machine: a GPU, a model that is here, folders that can be written,
memory. Asked before anything is made, without torch where the answer is plain."""

from __future__ import annotations

import difflib
import os
import runpy
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from rlhf.config.naming import run_directory
from rlhf.config.pieces.model import HFModel, TinyModel
from rlhf.config.schema import Config, Trainer
from rlhf.models.files.adapter import base_of, is_adapter
from rlhf.rundir.disk.space import existing, refused
from rlhf.rundir.errors import ModelError
from rlhf.rundir.status import is_finished
from rlhf.runs.machine.devices import gpu_count, gpu_count_fault, memory
from rlhf.runs.machine.layers import target_faults
from rlhf.runs.machine.packages import package_fault, packages_of

DRIVERS = (  # files that a driver of NVIDIA's (Linux, WSL) or AMD's puts there
    "/proc/driver/nvidia/version",
    "/dev/nvidiactl",
    "/dev/dxg",
    "/dev/kfd",
)
MADE_HERE = {"outputs/models/smollm2": "`make smollm2` makes it"}
CROWDED = 16  # threads a core: ten times slower than one
BYTES = 8  # of a token's number


def machine_faults(
    configs: Sequence[Config], *, sweep: bool = False, elsewhere: bool = False
) -> list[str]:
    """A sentence for each thing that the configs ask and this machine does not have. Of finished
    runs nothing is asked.

    Args:
        sweep: the runs are jobs of a sweep, whose directory is theirs.
        elsewhere: the jobs run on other machines, whose GPUs and memory are not known here.
    """
    own = "sweep_dir" if sweep else "run_dir"
    missing = [
        cfg
        for cfg in configs
        if sweep or not is_finished(run_directory(Path(cfg.paths.run_dir), cfg.rerun))
    ]
    folders = [each for cfg in missing for each in folders_of(cfg, own)]
    faults = [each for key, path in dict.fromkeys(folders) if (each := folder_fault(key, path))]
    models = dict.fromkeys(each for cfg in missing for each in models_of(cfg))
    faults += filter(None, (model_fault(*model) for model in models))
    packages = dict.fromkeys(each for cfg in missing for each in packages_of(cfg))
    faults += filter(None, (package_fault(*package) for package in packages))
    faults += [fault for cfg in missing for fault in target_faults(cfg)]
    if not elsewhere:
        asked = [cfg.trainer.devices for cfg in missing if cfg.trainer.accelerator == "cuda"]
        if asked:
            several = any(cfg.trainer.strategy != "single" for cfg in missing)
            faults += filter(None, [gpu_fault(several) or gpu_count_fault(max(asked), gpu_count())])
        for cfg in missing:
            faults += [*memory_faults(cfg, memory()), *thread_faults(cfg.trainer, cores())]
    return list(dict.fromkeys(faults))


def folders_of(cfg: Config, own: str) -> list[tuple[str, Path]]:
    """What a run writes, its own directory (`run_dir` or `sweep_dir`) and the stages' artifacts,
    each by the shortest key that leads there: `paths.outputs` where it lies below that."""
    roots = {"paths.outputs": cfg.paths.outputs, "paths.sweeps": cfg.paths.sweeps}
    named = []
    for key in (own, "artifacts"):
        path = Path(getattr(cfg.paths, key))
        root = next((name for name, above in roots.items() if path.is_relative_to(above)), None)
        named.append((f"paths.{key}", path) if root is None else (root, Path(roots[root])))
    return list(dict.fromkeys(named))


def folder_fault(key: str, path: Path) -> str | None:
    """Why nothing can be written to a folder, which need not be there yet."""
    if meant := _unread(str(path)):
        return f"{key}={path}: ~ and $ are read by the shell alone; write {key}={meant}"
    there = existing(path.absolute())
    reason = refused(path)
    if reason is None and there != path.absolute():  # /proc and its like say yes and mean no
        try:
            os.rmdir(tempfile.mkdtemp(prefix=".rlhf-", dir=there))
        except OSError as error:
            reason = f"nothing can be written in {there} ({error.strerror})"
    return f"{key}={path}: {reason}" if reason else None


def _unread(path: str) -> str | None:
    """What a shell would have made of `~` or a variable that came here in quotes."""
    meant = os.path.expandvars(os.path.expanduser(path))
    return meant if meant != path else None


@cache
def gpu_fault(several: bool = False) -> str | None:
    """Why no GPU can be used here, by one process or by `several`. Drivers and torch's build are
    looked at first: torch itself is imported (seconds) only where both are there."""
    start = "trainer.accelerator=cuda:"
    end = f"; trainer{'.accelerator' if several else ''}=cpu trains without a GPU"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return f"{start} CUDA_VISIBLE_DEVICES={hidden} hides all GPUs{end}"
    if os.name == "posix" and not any(map(os.path.exists, DRIVERS)):
        return f"{start} this machine has no GPU, or no driver for it{end}"
    spec = find_spec("torch")
    if spec is not None and spec.origin is not None:
        build = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
        if not (build.get("cuda") or build.get("hip")):
            version = build.get("__version__")
            return f"{start} torch {version} is a build without GPU support; install another{end}"
    import torch

    if torch.cuda.device_count():
        return None
    return f"{start} torch {torch.__version__} sees no GPU; nvidia-smi tells more{end}"


def models_of(cfg: Config) -> Iterator[tuple[str, str | None, str]]:
    """Path, revision and key of each saved model that a run reads."""
    own = cfg.model
    begins = cfg.sft.path
    if isinstance(own, HFModel) and (begins is None or cfg.reward_model.init == "model"):
        yield own.path, own.revision, "model.path"
    for stage in ("sft", "reward_model"):
        if (path := getattr(cfg, stage).path) is not None:
            yield path, None, f"{stage}.path"


def model_fault(path: str, revision: str | None, key: str = "model.path") -> str | None:
    """Why a model cannot be had: `path` is neither a folder with a model nor in the cache, and
    cannot be fetched. Online a right name is left to the hub."""
    start = f"{key}={path}:"
    try:
        return _model_fault(start, path, revision, key)
    except OSError as error:  # a folder that may not be looked into, a name that none may have
        return f"{start} {error.strerror}"


def _adapter_fault(start: str, folder: Path, key: str) -> str | None:
    """The same of an adapter's folder, and of the network that it stands beside."""
    if key == "model.path":
        return f"{start} an adapter's folder, which a stage begins from: sft.path={folder}"
    try:
        base = base_of(folder)
    except ModelError as error:
        return f"{key}={error}"
    fault = model_fault(base.path, base.revision, key)
    return fault and f"{start} the network that its adapter stands beside: {fault}"


def _model_fault(start: str, path: str, revision: str | None, key: str) -> str | None:
    folder = Path(path)
    if folder.is_dir():
        if is_adapter(folder):
            return _adapter_fault(start, folder, key)
        if (folder / "config.json").is_file():
            return None
        if (folder / "policy" / "config.json").is_file() or is_adapter(folder / "policy"):
            return f"{start} a run's folder; its policy is {key}={folder / 'policy'}"
        inside = ", ".join(sorted(each.name for each in folder.iterdir())[:5])
        return f"{start} a folder without config.json; it holds {inside or 'nothing'}"
    if folder.exists():
        return f"{start} a file; give the folder of the model"
    if meant := _unread(path):
        return f"{start} ~ and $ are read by the shell alone; write {key}={meant}"
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(path)
    except HFValidationError:
        return f"{start} no such folder{_near(folder)}"
    if path.startswith(".") or not (constants.HF_HUB_OFFLINE or _offline()):
        return f"{start} no such folder{_near(folder)}" if path.startswith(".") else None
    if isinstance(try_to_load_from_cache(path, "config.json", revision=revision), str):
        return None
    of = "" if revision is None else f" at revision {revision}"
    return (
        f"{start} neither a folder here nor a model{of} in the cache ({constants.HF_HUB_CACHE});"
        f" HF_HUB_OFFLINE forbids to fetch it{_near(folder)}"
    )


def _offline() -> bool:
    return os.environ.get("TRANSFORMERS_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _near(folder: Path) -> str:
    """The command that makes the folder, or the folder that was probably meant."""
    if how := MADE_HERE.get(str(folder)):
        return f"; {how}"
    parent = next(p for p in folder.absolute().parents if p.is_dir())
    part = folder.absolute().relative_to(parent).parts[0]
    names = [each.name for each in parent.iterdir() if each.is_dir()]
    near = difflib.get_close_matches(part, names, n=1)
    return f"; did you mean {parent / near[0]}?" if near else ""


def cores() -> int:
    """The number that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_faults(trainer: Trainer, cores: int) -> Iterator[str]:
    """Threads wait for each other by spinning: with far more of them than cores none comes on."""
    several = f" in each of {trainer.devices} processes" if trainer.devices > 1 else ""
    if trainer.threads * trainer.devices > CROWDED * cores:
        yield (
            f"trainer.threads={trainer.threads}{several}: this machine has {cores} cores; at most"
            f" {CROWDED * cores} threads come on here"
        )


def memory_faults(cfg: Config, there: int | None) -> Iterator[str]:
    """Sizes that cannot fit whatever else is true: weights alone, or token numbers alone, take more
    than the whole machine has."""
    if there is None or cfg.trainer.accelerator != "cpu":
        return
    asked = {}
    if isinstance(cfg.model, TinyModel):
        size, layers = cfg.model.hidden_size, cfg.model.layers
        what = f"model.hidden_size={size} model.layers={layers}: the weights"
        asked[what] = 4 * 12 * layers * size**2  # attention and MLP have at least 12 h^2 a layer
    if cfg.stage == "ppo":
        tokens = cfg.generation.max_new_tokens
        sizes = {
            "ppo.rollout_size": cfg.ppo.rollout_size,
            "evaluation.prompts": cfg.evaluation.prompts,
        }
        for key, rows in sizes.items():
            what = f"{key}={rows} generation.max_new_tokens={tokens}: the responses"
            asked[what] = BYTES * rows * tokens
    for what, needed in asked.items():
        if needed > there:
            yield (
                f"{what} take at least {needed / 2**30:,.0f} GiB; this machine has"
                f" {there / 2**30:,.0f}"
            )
