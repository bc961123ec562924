"""One frozen causal LM that carries adapters by name, and the switch between them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from rlhf.models.adapters.targets import ALL_LINEAR, chosen_layers, linear_layers, short_names
from rlhf.models.adapters.weights import weights_digest
from rlhf.randomness import generator, seeded_global_rng
from rlhf.rundir.errors import ModelError, RunFailed

if TYPE_CHECKING:  # a run without adapters does not wait for it
    from peft import LoraConfig
    from peft.tuners.lora.layer import LoraLayer

Contexts = tuple[AbstractContextManager[None], AbstractContextManager[None]]


@dataclass(frozen=True)
class Lora:
    """W x + (alpha / r) B A x beside each chosen layer: A [r, in], B [out, r]."""

    r: int
    alpha: float
    targets: str | tuple[str, ...] = ALL_LINEAR  # see `chosen_layers`

    @property
    def scaling(self) -> float:
        return self.alpha / self.r


class SharedBackbone(nn.Module):
    """A causal LM whose weights nothing trains, and adapters beside them.

    Adapters are in float32 whatever the network's type, have no dropout, and are frozen when they
    are added: who trains a role says `view.requires_grad_(True)`, once. Outside of `using`, the
    network is as it was without adapters.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        model.requires_grad_(False)
        self.adapters: dict[str, Lora] = {}
        self._layers: dict[str, LoraLayer] = {}
        self._active: tuple[str, ...] = ()

    # --- adapters

    def add(self, name: str, lora: Lora, *, seed: int) -> None:
        """A fresh adapter, which changes nothing: B is 0, A is uniform within 1/sqrt(in) as PEFT
        has it, from `seed` and the names alone.

        Raises:
            ModelError: the network has no layer that `lora.targets` means, or PEFT takes none such.
        """
        from peft import inject_adapter_in_model
        from peft.tuners.lora.layer import LoraLayer

        if not name.isidentifier() or name in self.adapters:
            raise ValueError(f"{name!r} is no name for a new adapter beside {[*self.adapters]}")
        chosen = chosen_layers(self.model, lora.targets)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        with warnings.catch_warnings(), seeded_global_rng(seed, "adapter", name):
            warnings.simplefilter("ignore")  # PEFT's, of a second adapter and of what will change
            try:
                inject_adapter_in_model(self._config(lora, chosen), self.model, adapter_name=name)
            except ValueError as error:  # of a state-space model's layers
                raise ModelError([f"adapter.targets: {error}"]) from error
        self.adapters[name] = replace(lora, targets=(*short_names(self.model, chosen),))
        self._layers = {
            at: layer for at, layer in self.model.named_modules() if isinstance(layer, LoraLayer)
        }
        for at, layer in self.layers_of(name).items():
            _begin(layer, name, seed, at)
        self.model.requires_grad_(False)  # PEFT sets it for what it activates
        for parameter in trained:
            parameter.requires_grad_(True)
        self._switch(self._active)

    def layers_of(self, name: str) -> dict[str, LoraLayer]:
        """Name of a layer -> the layer, of those that have this adapter; sorted."""
        self._known((name,))
        return {at: self._layers[at] for at in sorted(self._layers) if name in self._layers[at].r}

    def transposed(self, name: str) -> bool:
        """Whether the layers' weights are [in, out], as GPT-2's Conv1D has them."""
        bases = (layer.get_base_layer() for layer in self.layers_of(name).values())
        return any(isinstance(base, Conv1D) for base in bases)

    def _config(self, lora: Lora, chosen: Sequence[str]) -> LoraConfig:
        from peft import LoraConfig

        there = linear_layers(self.model)
        return LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,  # type: ignore[arg-type]  # it is divided by r
            target_modules=[*chosen],
            lora_dropout=0.0,
            fan_in_fan_out=any(isinstance(there[name], Conv1D) for name in chosen),
            init_lora_weights=False,  # PEFT would draw them from the global generator
        )

    # --- the switch

    @property
    def active(self) -> tuple[str, ...]:
        """The adapters that a forward pass has now, in the order in which they are added up."""
        return self._active

    def using(self, *names: str) -> AbstractContextManager[None]:
        """Inside, forward passes have just these adapters (none: the network without any);
        afterwards those from before. May be nested and entered again.

        PEFT's own switch takes gradients from adapters that are switched off and gives them to
        frozen ones; this one leaves `requires_grad` alone, so passes under several adapters have
        one backward pass.
        """
        self._known(names)
        return _Using(self, names)

    def _known(self, names: Sequence[str]) -> None:
        if unknown := [name for name in names if name not in self.adapters]:
            raise ValueError(f"no adapter is called {unknown[0]!r}: there are {[*self.adapters]}")
        if len({*names}) < len(names):
            raise ValueError(f"an adapter counts once: {[*names]}")

    def _switch(self, names: tuple[str, ...]) -> None:
        for at, layer in self._layers.items():
            if layer.merged_adapters:
                raise RuntimeError(
                    f"{at}: merged with {layer.merged_adapters}, so no longer shared"
                )
            # past nn.Module, which takes ten times as long
            layer.__dict__.update(_active_adapter=[*names], _disable_adapters=not names)
        self._active = names

    def checkpoint_context_fn(self) -> Contexts:
        """`context_fn` of torch.utils.checkpoint: what is computed again in the backward pass has
        the adapters that it had in the forward pass."""
        return nullcontext(), self.using(*self._active)

    # --- as a whole

    def digest(self) -> str:
        """sha256 of the network's own weights, read now: adapters made for it fit no other."""
        return weights_digest(self.model)

    @cached_property
    def origin(self) -> str:
        """`digest()` as it was when it was first asked for: nothing changes the weights, and to
        read those of a 7B takes half a minute."""
        return self.digest()

    def unmoved(self) -> str:
        """`digest()`, after it was held against `origin`, where that was asked for.

        Raises:
            RunFailed: the weights are no longer what they were.
        """
        now = self.digest()
        if now != (then := vars(self).get("origin", now)):
            raise RunFailed(
                f"the frozen network has other weights than before: their sha256 was {then[:12]},"
                f" now it is {now[:12]}. Was a file of it written over? What was trained beside it"
                " is not kept"
            )
        return now

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """`.to(...)` and its like: adapters go where the network goes, and stay in float32."""
        own = [p for layer in self._layers.values() for p in _parameters(layer)]
        kept = {id(t) for p in own for t in (p, p.grad) if t is not None}
        super()._apply(lambda t: keeping_type(fn, t) if id(t) in kept else fn(t), recurse)  # type: ignore[no-untyped-call]
        return self


class _Using(AbstractContextManager[None]):
    """Reusable, as checkpointing enters one context each time that it computes a layer again."""

    def __init__(self, shared: SharedBackbone, names: tuple[str, ...]) -> None:
        self.shared, self.names = shared, names
        self.before: list[tuple[str, ...]] = []

    def __enter__(self) -> None:
        self.before.append(self.shared.active)
        self.shared._switch(self.names)

    def __exit__(self, *error: object) -> None:
        self.shared._switch(self.before.pop())


def keeping_type(fn: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """fn(tensor), a change of its type taken back."""
    changed = fn(tensor)
    return changed if changed.dtype == tensor.dtype else tensor.to(changed.device)


def _parameters(layer: LoraLayer) -> list[nn.Parameter]:
    return [*layer.lora_A.parameters(), *layer.lora_B.parameters()]


@torch.no_grad()
def _begin(layer: LoraLayer, name: str, seed: int, at: str) -> None:
    for linear in pair(layer, name):
        linear.to(torch.float32)  # PEFT gives it the layer's type
    a, b = pair(layer, name)
    random, bound = generator(seed, "adapter", name, at), a.in_features**-0.5
    a.weight.copy_(torch.empty(a.weight.shape).uniform_(-bound, bound, generator=random))
    b.weight.zero_()
    cast(nn.Module, layer).train(layer.get_base_layer().training)  # born in train mode


def pair(layer: LoraLayer, name: str) -> tuple[nn.Linear, nn.Linear]:
    """A and B of an adapter beside a layer."""
    return cast(nn.Linear, layer.lora_A[name]), cast(nn.Linear, layer.lora_B[name])
