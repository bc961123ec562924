"""An adapter, a scalar head, or both, out of the network: as PEFT's folders hold them.

`adapter_config.json` and `adapter_model.safetensors` are PEFT's, a scalar head stands there as the
`score` of a sequence classifier. `backbone.json` is ours: which network it was made for, and the
normalisation of scores. A head without an adapter has no `adapter_config.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf.models.adapters.backbone import Lora
from rlhf.models.adapters.quantized import FOUR_BIT
from rlhf.models.adapters.scalar import HEAD, ScalarView
from rlhf.models.adapters.views import View
from rlhf.models.files.folder import saving
from rlhf.rundir.errors import ModelError

CONFIG, WEIGHTS, BACKBONE = "adapter_config.json", "adapter_model.safetensors", "backbone.json"
PREFIX, SCORE = "base_model.model.", "score.weight"
# of adapter_config.json: what is read here, or decides nothing of what an adapter computes
_READ = {"peft_type", "r", "lora_alpha", "target_modules", "modules_to_save", "fan_in_fan_out"}
_WITHOUT_EFFECT = {
    *("task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping"),
    *("peft_version", "lora_dropout", "init_lora_weights", "loftq_config", "eva_config"),
    *("corda_config", "lora_ga_config", "megatron_config", "megatron_core", "runtime_config"),
    *("layers_pattern", "qalora_group_size"),
}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """`weights`: as in the state dict of a view, on the CPU. `weights_sha256`: of the network; None
    where that isn't known, of a folder that others wrote."""

    lora: Lora | None
    weights: dict[str, Tensor]
    transposed: bool = False  # the layers are GPT-2's Conv1D, [in, out]
    architecture: str | None = None
    weights_sha256: str | None = None
    score_mean: float = 0.0
    score_std: float = 1.0
    where: str = "the adapter"  # for messages

    @property
    def is_scalar(self) -> bool:
        return HEAD in self.weights


def keep(view: View, weights_sha256: str | None = None) -> Kept:
    """A view's own adapter and head, copied.

    Args:
        weights_sha256: the network's `digest()`, where it was read before.

    Raises:
        RunFailed: the network is no longer what it was when it was loaded.
    """
    if len(view.adapters) > 1:
        raise ValueError(f"{view.adapters} are several adapters: a folder holds one")
    mean, std = view.normalization if isinstance(view, ScalarView) else (0.0, 1.0)
    lora = view.shared.adapters[view.adapters[0]] if view.adapters else None
    return Kept(
        lora=lora,
        weights={n: t.detach().cpu().clone() for n, t in view.state_dict().items()},
        transposed=bool(view.adapters) and view.shared.transposed(view.adapters[0]),
        architecture=view.network.config.model_type,
        weights_sha256=weights_sha256 or view.shared.unmoved(),
        score_mean=mean,
        score_std=std,
    )


def write(kept: Kept, folder: Path, view: View, *, base: str, revision: str | None = None) -> None:
    """Writes the folder; PEFT loads it over the network at `base`, a path or a name on the hub. The
    tokenizer is the caller's.

    Raises:
        DiskError: the disk refuses.
    """
    place = {"base_model_name_or_path": base, "revision": revision}
    facts: dict[str, Any] = {
        **place,
        "dtype": _kind(view),
        "architecture": kept.architecture,
        "weights_sha256": kept.weights_sha256,
    }
    if kept.is_scalar:
        facts |= {"score_mean": kept.score_mean, "score_std": kept.score_std}
    named = {
        PREFIX + (SCORE if name == HEAD else name): tensor for name, tensor in kept.weights.items()
    }
    with saving(folder, view):
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / BACKBONE, facts)
        if kept.lora is not None:
            _write_json(folder / CONFIG, {**_config(kept), **place})
        save_file(named, folder / WEIGHTS, metadata={"format": "pt"})


def _kind(view: View) -> str:
    """The type of the network's weights, as `model.dtype` has it."""
    if getattr(view.network.config, "quantization_config", None) is not None:
        return FOUR_BIT
    return str(view.network.dtype).removeprefix("torch.")


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _config(kept: Kept) -> dict[str, Any]:
    """PEFT's configuration, what it has defaults for left out. Its own way to write it has an order
    of names that varies between processes."""
    assert kept.lora is not None
    alpha = kept.lora.alpha
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if kept.is_scalar else "CAUSAL_LM",
        "r": kept.lora.r,
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "target_modules": [*kept.lora.targets],
        "modules_to_save": ["score"] if kept.is_scalar else None,
        "fan_in_fan_out": kept.transposed,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }


def read(folder: str | Path) -> Kept:
    """What a folder holds.

    Raises:
        ModelError: it holds no adapter, or one that does more than LoRA's B A.
    """
    folder = Path(folder)
    facts, config = (_read_json(folder / name) for name in (BACKBONE, CONFIG))
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            [f"{folder} holds no adapter that can be read ({error}); expected {CONFIG}, {WEIGHTS}"]
        ) from error
    if not config and [*tensors] != [PREFIX + SCORE]:
        raise ModelError([f"{folder} has no {CONFIG}: how its tensors are used isn't known"])
    lora = _lora(config, folder / CONFIG) if config else None
    return Kept(
        lora=lora,
        weights={_ours(name): tensor for name, tensor in tensors.items()},
        transposed=bool(config.get("fan_in_fan_out")),
        architecture=facts.get("architecture"),
        weights_sha256=facts.get("weights_sha256"),
        score_mean=float(facts.get("score_mean", 0.0)),
        score_std=float(facts.get("score_std", 1.0)),
        where=str(folder),
    )


def _ours(name: str) -> str:
    name = name.removeprefix(PREFIX)
    return HEAD if name == SCORE else name


def _read_json(path: Path) -> dict[str, Any]:
    """Empty where there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError([f"{path} cannot be read: {error}"]) from error
    if not isinstance(value, dict):
        raise ModelError([f"{path}: expected a mapping, got {value!r:.60}"])
    return value


def _lora(config: dict[str, Any], path: Path) -> Lora:
    if (kind := config.get("peft_type")) != "LORA":
        raise ModelError([f"{path}: peft_type is {kind}; expected LORA"])
    if find_spec("peft") is None:
        raise ModelError([f"{path} needs the package peft: pip install 'rlhf[lora]'"])
    from peft import LoraConfig

    defaults = asdict(LoraConfig())
    faults = [
        f"{path}: {key}={json.dumps(value)} is not supported here; expected"
        f" {json.dumps(defaults.get(key), default=str)}"
        for key, value in sorted(config.items())
        if key not in _READ | _WITHOUT_EFFECT and value and value != defaults.get(key)
    ]
    if (saved := config.get("modules_to_save")) not in (None, [], ["score"]):
        faults.append(f"{path}: modules_to_save={json.dumps(saved)}; expected at most score")
    targets, r, alpha = (config.get(key) for key in ("target_modules", "r", "lora_alpha"))
    if not targets or not isinstance(targets, (str, list)):
        faults.append(f"{path}: target_modules is {targets!r}; expected names of layers")
    for key, number in (("r", r), ("lora_alpha", alpha)):
        if not isinstance(number, (int, float)) or not number > 0:
            faults.append(f"{path}: {key} is {number!r}; expected a number above 0")
    if faults:
        raise ModelError(faults)
    assert r and alpha and targets
    return Lora(
        r=int(r),
        alpha=float(alpha),
        targets=targets if isinstance(targets, str) else tuple(sorted(targets)),
    )
