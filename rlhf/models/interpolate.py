"""Weights between two policies: those of the start, those of what was trained from it, and the line
through both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rlhf.models.adapters.backbone import pair
from rlhf.models.adapters.views import PolicyView
from rlhf.models.networks import Policy, free_name
from rlhf.rundir.errors import ModelError


@dataclass
class Interpolated:
    """`model` with the weights (1 - lambda) start + lambda policy, for one lambda after another
    (LITI in WARP, Rame et al. 2024, arXiv 2406.16768). Exactly the start's at lambda = 0, the
    policy's at 1; computed in float32, whatever type the weights have.

    Of adapters beside one network it is what moves that is weighed: the sum of both low-rank terms
    s B A, (1 - lambda) times the start's, where it has one, and lambda times the policy's.
    """

    model: Policy
    between: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)  # of whole weights
    parts: list[tuple[Tensor, Tensor, bool]] = field(default_factory=list)  # B; True: the policy's

    @classmethod
    def of(cls, start: Policy, policy: Policy) -> Interpolated:
        """Of whole networks it takes the policy's memory; the start stays as it is. Of views, the
        policy's network gets further adapters.

        Raises:
            ModelError: they are not of one architecture, or stand beside different networks.
        """
        if isinstance(start, PolicyView) and isinstance(policy, PolicyView):
            return _of_views(start, policy)
        if isinstance(start, PolicyView) or isinstance(policy, PolicyView):
            raise ModelError(["weights between a whole network and an adapter: merge the adapter"])
        own, first = dict(policy.named_parameters()), dict(start.named_parameters())
        if shapes(own) != shapes(first):
            odd = sorted(shapes(own).items() ^ shapes(first).items())[0][0]
            raise ModelError(
                [f"policy and start have not the same weights: {odd} differs in name or shape"]
            )
        # a tied weight is named once, and stays tied: it is changed in place
        return cls(policy, [(p, first[name], p.detach().clone()) for name, p in own.items()])

    @torch.no_grad()
    def at(self, weight: float) -> Policy:
        """The policy at this lambda, until it is asked for another."""
        for parameter, start, policy in self.between:
            parameter.copy_(torch.lerp(start.to(policy).float(), policy.float(), weight))
        for parameter, b, trained in self.parts:
            parameter.copy_(b * (weight if trained else 1 - weight))
        return self.model


def shapes(parameters: dict[str, nn.Parameter]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in parameters.items()}


def _of_views(start: PolicyView, policy: PolicyView) -> Interpolated:
    shared = policy.shared
    if start.shared is not shared and start.shared.origin != shared.origin:
        raise ModelError(
            ["policy and start stand beside different networks: no weights lie between"]
        )
    names, parts = list[str](), list[tuple[Tensor, Tensor, bool]]()
    for view in (start, policy):
        for adapter in view.adapters:
            name = free_name(shared, f"{adapter}_part")
            shared.add(name, view.shared.adapters[adapter], seed=0)
            names.append(name)
            parts += [(p, b, view is policy) for p, b in _copied(view, adapter, policy, name)]
    return Interpolated(PolicyView(shared, *names).eval(), parts=parts)


@torch.no_grad()
def _copied(
    view: PolicyView, adapter: str, into: PolicyView, name: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Gives the adapter `name` the numbers of a view's; each B there, and its whole value."""
    layers = into.shared.layers_of(name)
    for at, layer in view.shared.layers_of(adapter).items():
        for target, source in zip(pair(layers[at], name), pair(layer, adapter), strict=True):
            target.weight.copy_(source.weight)
        b = pair(layers[at], name)[1].weight
        yield b, b.detach().clone()
