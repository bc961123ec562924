import math

import pytest
import torch
from torch import tensor

from rlhf.modules.trust_region import EarlyStop, Penalty, Unlimited, follows_kl, local_kl

OLD = tensor([0.5, 0.3, 0.2], dtype=torch.float64)
NEW = tensor([0.4, 0.4, 0.2], dtype=torch.float64)
MASK = tensor([[True, True, False]])


def test_local_vs_global() -> None:
    """0 at the first minibatch, and the reference does not appear in it at all."""
    logp = torch.randn(1, 3)
    assert local_kl(logp, logp.clone(), MASK).item() == 0.0


def test_local_kl_is_kl_of_old_to_new_with_its_gradient() -> None:
    logits = NEW.log().requires_grad_()
    logp = logits.log_softmax(-1)

    def under_old(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (OLD * x).sum()

    got = local_kl(logp, OLD.log(), torch.ones(3, dtype=torch.bool), under_old)
    want = (OLD * (OLD.log() - logp)).sum()
    assert got.item() == pytest.approx(want.item(), rel=1e-12)
    for_got, for_want = (torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (got, want))
    torch.testing.assert_close(for_got, for_want)


def test_mask_after_eos() -> None:
    logp, old = tensor([[0.1, 0.2, torch.nan]], requires_grad=True), tensor([[0.0, 0.0, 0.0]])
    loss = Penalty(2.0, 0.01).loss(logp, old, MASK)
    loss.backward()
    expected = 2 * (math.exp(0.1) - 1.1 + math.exp(0.2) - 1.2) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert logp.grad is not None
    assert torch.isfinite(logp.grad).all()
    assert logp.grad[0, 2] == 0


def test_unlimited_does_nothing() -> None:
    region = Unlimited()
    assert region.loss(torch.ones(1, 3), torch.zeros(1, 3), MASK).item() == 0.0
    assert not region.should_stop(1e9)
    region.update(1e9)
    assert region.coef == 0.0


def test_early_stop() -> None:
    region = EarlyStop(0.02)
    assert not region.should_stop(0.02)
    assert region.should_stop(0.0201)
    assert region.should_stop(math.nan)
    assert region.loss(torch.ones(1, 3), torch.zeros(1, 3), MASK).item() == 0.0


def test_penalty_doubles_and_halves() -> None:
    region = Penalty(1.0, 0.01)
    for kl, coef in [
        (0.0151, 2.0),
        (0.0149, 2.0),
        (0.0067, 2.0),
        (0.0066, 1.0),
        (math.nan, 1.0),
        (math.inf, 1.0),
        (0.0, 0.5),
    ]:
        region.update(kl)
        assert region.coef == coef
    assert not region.should_stop(1.0)


def test_penalty_comes_back_from_a_long_quiet_time() -> None:
    region = Penalty(1.0, 0.01)
    for _ in range(5000):
        region.update(0.0)
    assert region.coef == 2.0**-20
    region.update(1.0)
    assert region.coef == 2.0**-19


def test_penalty_resumes() -> None:
    region, fresh = Penalty(1.0, 0.01), Penalty(1.0, 0.01)
    region.update(1.0)
    fresh.load_state_dict(region.state_dict())
    assert fresh.coef == region.coef == 2.0


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_targets_must_be_positive(bad: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        EarlyStop(bad)
    with pytest.raises(ValueError, match="above 0"):
        Penalty(bad, 0.01)


def test_only_a_region_that_is_moved_by_the_local_kl_follows_it() -> None:
    class Own(Unlimited):
        def update(self, local_kl: float) -> None:
            self.coef = local_kl

    assert not follows_kl(Unlimited()) and not follows_kl(EarlyStop(0.02))
    assert follows_kl(Penalty(1.0, 0.01)) and follows_kl(Own())
