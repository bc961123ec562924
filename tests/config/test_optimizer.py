import pytest
import torch

from rlhf.config.build import build
from rlhf.config.compose import compose, validate


def test_adam_eps():
    """First step with the gradient g: m = g, v = g^2 once corrected, so the step is lr g / (|g|
    + eps), as in PyTorch and not in TF1."""
    piece = validate(compose(["ppo.optimizer.lr=0.1", "tracking=none"])).ppo.optimizer
    assert piece.eps == 1e-5
    for gradient in (1e-5, 1e-3, 1.0):
        weight = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        optimizer = build(piece, params=[weight])
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        assert weight.item() == pytest.approx(-0.1 * gradient / (gradient + 1e-5), rel=1e-6)
