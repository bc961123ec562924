"""What an adapter that is given asks of its network and of the run's settings, known before any
weights of networks are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from transformers import PreTrainedConfig, PreTrainedModel

from rlhf.config.pieces.model import Adapter
from rlhf.config.schema import Config
from rlhf.models.adapters.backbone import Lora
from rlhf.models.adapters.kept import Kept, read
from rlhf.models.adapters.load import check_fits
from rlhf.models.adapters.targets import chosen_layers
from rlhf.models.files.adapter import dtype_of
from rlhf.models.load import outline
from rlhf.rundir.errors import ModelError
from rlhf.stages.outside.pieces import Outside, SFTPolicy


def lora_of(adapter: Adapter) -> Lora:
    """What the config adds to a layer, and to which layers."""
    named = adapter.targets
    return Lora(
        r=adapter.r,
        alpha=adapter.alpha,
        targets=tuple(named) if isinstance(named, list) else str(named),
    )


def adapter_faults(cfg: Config, piece: Outside, config: PreTrainedConfig | None) -> Iterator[str]:
    """A sentence for each reason why the adapter of `sft.path` or `reward_model.path` cannot be
    used: it is none, or more than LoRA; it does not fit the network that it names (`config`); the
    run's settings say something else.

    Raises:
        NonFinite: a number of it is NaN or infinite.
    """
    network = None if config is None else outline(config)
    start = f"{piece.key}={piece.path}"
    try:
        kept = read(piece.path)
        if network is not None:
            check_fits(network, replace(kept, weights_sha256=None))
    except ModelError as error:
        yield from (f"{piece.key}: {fault}" for fault in error.faults)
        return
    if not piece.stays_adapter(cfg):
        return
    made_for = dtype_of(piece.path)
    if made_for not in (None, piece.dtype):
        yield (
            f"{start}: its adapter was made beside weights in {made_for}, and model.dtype is"
            f" {piece.dtype}: set model.dtype={made_for}"
        )
    if isinstance(piece, SFTPolicy) and cfg.stage != "sft":
        yield from _other_settings(cfg.adapter, kept, network, start)


def _other_settings(
    adapter: Adapter, kept: Kept, network: PreTrainedModel | None, start: str
) -> Iterator[str]:
    """The policy goes on with the given adapter: one of another size would not be what the run's
    config says."""
    own, wanted = kept.lora, lora_of(adapter)
    if own is None:
        return
    names = f"[{','.join(own.targets)}]" if isinstance(own.targets, tuple) else own.targets
    settings = [("r", own.r, wanted.r), ("alpha", own.alpha, wanted.alpha)]
    faults = {f"adapter.{n}={has:g}": f"{is_:g}" for n, has, is_ in settings if has != is_}
    if network is not None and _layers(network, own) != _layers(network, wanted):
        faults[f"adapter.targets={names}"] = str(adapter.targets)
    if faults:
        yield (
            f"{start}: the policy goes on with its adapter, which is another than the config's:"
            f" set {' '.join(faults)} (here {', '.join(faults.values())})"
        )


def _layers(network: PreTrainedModel, lora: Lora) -> list[str]:
    try:
        return chosen_layers(network, lora.targets)
    except ModelError:
        return []
