import pytest
import torch
from torch import nn

from rlhf.kl.reference import EMA, SFT, Synced


class Model(nn.Module):
    steps: torch.Tensor

    def __init__(self, value: float, tie: bool = True) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        nn.init.constant_(self.first.weight, value)
        self.second = self.first if tie else nn.Linear(2, 2)
        self.register_buffer("steps", torch.tensor(int(value)))


def value(model: Model) -> float:
    return float(model.first.weight[0, 0].detach())


def test_sft_never_moves() -> None:
    reference, policy = Model(1.0), Model(2.0)
    SFT().after_iteration(reference, policy, 1)
    assert value(reference) == 1.0
    assert not SFT.properties.moves


def test_ema_by_hand() -> None:
    """Tied weights move once an iteration, and the policy stays."""
    reference, policy = Model(1.0), Model(2.0)
    rule = EMA(0.75)
    rule.after_iteration(reference, policy, 1)
    assert value(reference) == 1.25
    rule.after_iteration(reference, policy, 2)
    assert value(reference) == 1.4375
    assert value(policy) == 2.0
    assert int(reference.steps) == 2
    assert rule.properties.moves


def test_synced_copies_after_every_n() -> None:
    reference, rule = Model(0.0), Synced(3)
    seen = []
    for iteration in range(1, 8):
        rule.after_iteration(reference, Model(float(iteration)), iteration)
        seen.append(value(reference))
    assert seen == [0.0, 0.0, 3.0, 3.0, 3.0, 6.0, 6.0]


def test_no_gradient_is_left_behind() -> None:
    reference, policy = Model(1.0), Model(2.0)
    EMA(0.5).after_iteration(reference, policy, 1)
    assert reference.first.weight.grad_fn is None
    assert reference.first.weight.requires_grad


def test_refusals() -> None:
    with pytest.raises(ValueError, match="different models"):
        Synced(1).after_iteration(Model(1.0), Model(1.0, tie=False), 1)
    with pytest.raises(ValueError, match="decay"):
        EMA(1.0)
    with pytest.raises(ValueError, match="every"):
        Synced(0)
