"""A kept adapter beside the network that it was made for: as a view of a shared one, or merged into
one of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from rlhf.functional.finite import in_words, nonfinite_names
from rlhf.models.adapters.backbone import SharedBackbone
from rlhf.models.adapters.kept import Kept
from rlhf.models.adapters.scalar import HEAD, ScalarView
from rlhf.models.adapters.targets import chosen_layers, linear_layers
from rlhf.models.adapters.views import PolicyView
from rlhf.models.adapters.weights import weights_digest
from rlhf.models.load import scalar_model_from
from rlhf.models.scalar import ScalarModel
from rlhf.rundir.errors import ModelError, NonFinite


def policy_from(shared: SharedBackbone, name: str, kept: Kept) -> PolicyView:
    """A new adapter of the network, as it was kept.

    Raises:
        ModelError: it was made for another network, tensors are missing or have no place, or it is
            a reward model.
    """
    if kept.is_scalar or kept.lora is None:
        raise ModelError([f"{kept.where} has a scalar head: it is no policy's adapter"])
    check_fits(shared.model, kept, lambda: shared.origin)
    shared.add(name, kept.lora, seed=0)
    view = PolicyView(shared, name)
    view.load_state_dict(kept.weights)
    return view


def scalar_from(shared: SharedBackbone, name: str, kept: Kept) -> ScalarView:
    """A reward model as it was kept: a new adapter of the network, unless it is a head alone.

    Raises:
        ModelError: as `policy_from`; or it has no scalar head.
    """
    _check_scalar(kept)
    check_fits(shared.model, kept, lambda: shared.origin)
    if kept.lora is not None:
        shared.add(name, kept.lora, seed=0)
    view = ScalarView(shared, *([] if kept.lora is None else [name]))
    view.load_state_dict(kept.weights)
    view.set_normalization(kept.score_mean, kept.score_std)
    return view


def merged(model: PreTrainedModel, kept: Kept) -> PreTrainedModel:
    """The causal LM, freshly loaded, after its weights were brought to float32 and B A was added to
    them, alpha / r times. (In bfloat16 the rounding is as large as what was learned.)

    Never that of a `SharedBackbone`: the other roles' network would no longer be the same.

    Raises:
        ModelError: as `policy_from`; or the network is quantised.
    """
    if any(".lora_" in name for name, _ in model.named_parameters()):
        raise ValueError("a network that carries adapters is not merged: load another")
    if getattr(model.config, "quantization_config", None) is not None:
        raise ModelError(
            [
                f"{kept.where} cannot be merged with quantised weights: export the adapter, which"
                " PEFT loads beside them"
            ]
        )
    check_fits(model, kept)
    model.float()
    if kept.lora is None:
        return model
    layers = linear_layers(model)
    with torch.no_grad():
        for at in _chosen(model, kept):
            a, b = (kept.weights[f"{at}.lora_{part}.weight"].float() for part in "AB")
            weight = layers[at].weight
            assert isinstance(weight, Tensor)
            delta = (b @ a * kept.lora.scaling).to(weight.device)
            weight.add_(delta.T if isinstance(layers[at], Conv1D) else delta)
    return model


def merged_scalar(model: PreTrainedModel, kept: Kept) -> ScalarModel:
    """A reward model of its own, in float32, from a causal LM that was freshly loaded.

    Raises:
        ModelError: as `merged`; or it has no scalar head.
    """
    _check_scalar(kept)
    scalar = scalar_model_from(merged(model, kept), seed=0, head_std=0.0)
    with torch.no_grad():
        scalar.head.weight.copy_(kept.weights[HEAD])
    scalar.set_normalization(kept.score_mean, kept.score_std)
    return scalar


def check_fits(model: PreTrainedModel, kept: Kept, digest: Callable[[], str] | None = None) -> None:
    """
    Args:
        digest: gives the sha256 of the network's weights; None: they are read.

    Raises:
        ModelError: an adapter was made for another network than this, or tensors are missing, have
            no place or another shape.
        NonFinite: a number is NaN or infinite.
    """
    _check_made_for(model, kept, digest or partial(weights_digest, model))
    shapes = _shapes(model, kept)
    there = {name: tuple(tensor.shape) for name, tensor in kept.weights.items()}
    faults = [
        f"{kept.where} has {what} {_some(names)}"
        for what, names in (
            ("no", sorted(shapes.keys() - there.keys())),
            ("no layer for", sorted(there.keys() - shapes.keys())),
        )
        if names
    ]
    faults += [
        f"{kept.where}: {name} has the shape {there[name]}; expected {shape}"
        for name, shape in shapes.items()
        if there.get(name, shape) != shape
    ][:3]
    if faults:
        raise ModelError(faults)
    if bad := nonfinite_names(kept.weights.items()):
        raise NonFinite(f"{kept.where}: weights that are NaN or infinite: {in_words(bad)}")


def _check_made_for(model: PreTrainedModel, kept: Kept, digest: Callable[[], str]) -> None:
    kind = model.config.model_type
    if kept.architecture not in (None, kind):
        raise ModelError(
            [f"{kept.where} was made for a network of type {kept.architecture}; this one is {kind}"]
        )
    if kept.weights_sha256 is None:
        return
    here = digest()
    if here != kept.weights_sha256:
        raise ModelError(
            [
                f"{kept.where} was made for a network whose weights have the sha256"
                f" {kept.weights_sha256[:12]}; this one's have {here[:12]}. Expected the same"
                " model, in the same model.dtype"
            ]
        )


def _check_scalar(kept: Kept) -> None:
    if not kept.is_scalar:
        raise ModelError([f"{kept.where} has no scalar head: it is no reward model's adapter"])


def _chosen(model: PreTrainedModel, kept: Kept) -> list[str]:
    targets = () if kept.lora is None else kept.lora.targets
    return chosen_layers(model, targets, key=f"{kept.where}: target_modules")


def _shapes(model: PreTrainedModel, kept: Kept) -> dict[str, tuple[int, ...]]:
    """The shapes that the tensors should have, by their names in a view."""
    layers = linear_layers(model)
    shapes: dict[str, tuple[int, ...]] = {}
    for at in _chosen(model, kept):
        assert kept.lora is not None
        before, after = _features(layers[at])
        shapes[f"{at}.lora_A.weight"] = (kept.lora.r, before)
        shapes[f"{at}.lora_B.weight"] = (after, kept.lora.r)
    if kept.is_scalar:
        shapes[HEAD] = (1, model.config.get_text_config().hidden_size)
    return shapes


def _features(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, Conv1D):
        return layer.nx, layer.nf
    linear = cast(nn.Linear, layer)  # also where its weights are quantised
    return linear.in_features, linear.out_features


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
