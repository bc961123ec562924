"""Estimators over enumerated categoricals: expectations are sums, not samples."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, tensor

from rlhf.functional.kl import (
    absolute,
    exact,
    k1,
    k1_clamped,
    k2,
    k3,
    log_ratio_clip_fraction,
    mixture_kl,
    sequence_nats,
    token_nats,
)
from rlhf.functional.logprobs import token_logp

Estimate = Callable[[Tensor, Tensor], Tensor]

PI = tensor([0.6, 0.3, 0.1], dtype=torch.float64)
REF = tensor([0.2, 0.35, 0.45], dtype=torch.float64)
KL = 0.6 * math.log(3) + 0.3 * math.log(6 / 7) + 0.1 * math.log(2 / 9)  # 0.4625
FORWARD = 0.2 * math.log(1 / 3) + 0.35 * math.log(7 / 6) + 0.45 * math.log(9 / 2)


def mean(estimate: Tensor) -> float:
    return float((PI * estimate).sum())


@pytest.mark.parametrize("estimator", [k1, k2, k3, absolute, k1_clamped])
def test_kl_identity(estimator: Estimate) -> None:
    logp = torch.randn(3, 4).log_softmax(-1)
    assert (estimator(logp, logp) == 0).all()


def test_kl_identity_exact() -> None:
    logits = torch.randn(2, 3, 9)
    assert (exact(logits, logits) == 0).all()


def test_k_values() -> None:
    logp, ref = tensor([-1.0, -1.0, -1.0]), tensor([-1.5, -1.0, -0.5])  # d = 0.5, 0, -0.5
    torch.testing.assert_close(k1(logp, ref), tensor([0.5, 0.0, -0.5]))
    torch.testing.assert_close(k2(logp, ref), tensor([0.125, 0.0, 0.125]))
    torch.testing.assert_close(
        k3(logp, ref), tensor([math.exp(-0.5) - 0.5, 0.0, math.exp(0.5) - 1.5])
    )
    torch.testing.assert_close(absolute(logp, ref), tensor([0.5, 0.0, 0.5]))
    torch.testing.assert_close(k1_clamped(logp, ref), tensor([0.5, 0.0, 0.0]))


def test_k2_and_k3_are_never_negative() -> None:
    d = torch.linspace(-40, 40, 4001)
    assert (k2(d, torch.zeros_like(d)) >= 0).all()
    assert (k3(d, torch.zeros_like(d)) >= 0).all()


def test_k_expectation() -> None:
    assert mean(k1(PI.log(), REF.log())) == pytest.approx(KL, rel=1e-12)
    assert mean(k3(PI.log(), REF.log())) == pytest.approx(KL, rel=1e-12)
    k2_mean = (0.6 * math.log(3) ** 2 + 0.3 * math.log(6 / 7) ** 2 + 0.1 * math.log(2 / 9) ** 2) / 2
    assert mean(k2(PI.log(), REF.log())) == pytest.approx(k2_mean, rel=1e-12)
    assert abs(k2_mean - KL) > 0.01


def test_k3_direction() -> None:
    d = (PI / REF).log()
    chi2 = float((PI.square() / REF).sum() - 1)
    wrong_side = mean(k3(-d, torch.zeros_like(d)))  # exp(d) - 1 - d
    assert wrong_side == pytest.approx(chi2 - KL, rel=1e-12)
    assert abs(wrong_side - KL) > 0.05
    # with swapped arguments it estimates KL(ref || pi), under samples of ref only
    assert float((REF * k3(REF.log(), PI.log())).sum()) == pytest.approx(FORWARD, rel=1e-12)


def test_clamp_bias() -> None:
    clamped = mean(k1_clamped(PI.log(), REF.log()))
    assert clamped == pytest.approx(0.6 * math.log(3), rel=1e-12)
    assert clamped > KL + 0.1


def gradients(estimator: Estimate) -> tuple[Tensor, Tensor, Tensor]:
    """(E[grad estimate], grad KL(pi || ref), grad KL(ref || pi)) in the logits of a categorical."""
    logits = PI.log().requires_grad_()
    logp = logits.log_softmax(-1)
    (got,) = torch.autograd.grad((PI * estimator(logp, REF.log())).sum(), logits, retain_graph=True)
    (reverse,) = torch.autograd.grad(
        (logp.exp() * (logp - REF.log())).sum(), logits, retain_graph=True
    )
    (forward,) = torch.autograd.grad((REF * (REF.log() - logp)).sum(), logits, retain_graph=True)
    return got, reverse, forward


def test_grad_as_loss() -> None:
    got, reverse, forward = gradients(k1)
    torch.testing.assert_close(got, torch.zeros_like(got))
    torch.testing.assert_close(gradients(k2)[0], reverse)
    torch.testing.assert_close(gradients(k3)[0], forward)
    assert not torch.allclose(forward, reverse, rtol=0.1)


def test_grad_as_loss_of_the_other_two_is_the_total_variation() -> None:
    logits = PI.log().requires_grad_()
    variation = (logits.softmax(-1) - REF).abs().sum() / 2
    (expected,) = torch.autograd.grad(variation, logits)
    torch.testing.assert_close(gradients(absolute)[0], 2 * expected)
    torch.testing.assert_close(gradients(k1_clamped)[0], expected)


def test_off_policy_kl() -> None:
    old = tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    logits = PI.log().requires_grad_()
    logp = logits.log_softmax(-1)
    rho = (logp - old.log()).exp()
    d = k1(logp, REF.log())
    assert (old * rho * d).sum().item() == pytest.approx(KL, rel=1e-12)
    reverse = gradients(k1)[1]
    (through_rho,) = torch.autograd.grad((old * rho * d).sum(), logits, retain_graph=True)
    torch.testing.assert_close(through_rho, reverse)
    (biased,) = torch.autograd.grad((old * k2(logp, REF.log())).sum(), logits)
    assert not torch.allclose(biased, reverse, rtol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("d", [-100.0, 100.0])
def test_overflow(dtype: torch.dtype, d: float) -> None:
    logp = tensor([[d]], dtype=dtype, requires_grad=True)
    ref = torch.zeros(1, 1, dtype=dtype)
    value = k3(logp, ref)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert logp.grad is not None
    assert logp.grad.item() == (0.0 if d < 0 else 1.0)
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert log_ratio_clip_fraction(logp, ref, mask).item() == 1.0


def test_clip_fraction_counts_masked_tokens_only() -> None:
    d = tensor([[25.0, -25.0, 1.0, 30.0]])
    mask = tensor([[True, True, True, False]])
    assert log_ratio_clip_fraction(d, torch.zeros_like(d), mask).item() == pytest.approx(2 / 3)


def test_full_kl() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(400, 6, 20, generator=generator)
    ref = logits + 0.5 * torch.randn(400, 6, 20, generator=generator)
    full = exact(logits, ref)
    assert (full >= 0).all()
    pairs = torch.nn.functional.kl_div(
        ref.log_softmax(-1), logits.log_softmax(-1), log_target=True, reduction="none"
    )
    torch.testing.assert_close(full, pairs.sum(-1), atol=1e-6, rtol=1e-4)
    tokens = torch.multinomial(logits.softmax(-1).flatten(0, 1), 1, generator=generator).view(
        400, 6
    )
    sampled = k1(token_logp(logits, tokens), token_logp(ref, tokens))
    mask = torch.ones(400, 6, dtype=torch.bool)
    (exact_mean, exact_se), (k1_mean, k1_se) = (
        sequence_nats(full, mask),
        sequence_nats(sampled, mask),
    )
    assert (exact_mean - k1_mean).abs() < 4 * k1_se
    assert exact_se < k1_se / 2


def test_exact_with_excluded_tokens() -> None:
    cut = tensor([[[0.0, 0.0, -torch.inf]]], requires_grad=True)
    both = exact(cut, tensor([[[0.0, 0.0, -torch.inf]]]))
    assert both.item() == 0.0
    torch.testing.assert_close(exact(cut, torch.zeros(1, 1, 3)), tensor([[math.log(1.5)]]))
    exact(cut, torch.zeros(1, 1, 3)).sum().backward()
    assert cut.grad is not None
    assert torch.isfinite(cut.grad).all()


def test_units() -> None:
    kl = tensor([[1.0, 2.0, 9.0], [5.0, 9.0, 9.0]])
    mask = tensor([[True, True, False], [True, False, False]])
    per_sequence, error = sequence_nats(kl, mask)
    assert per_sequence.item() == 4.0  # (3 + 5) / 2
    assert error.item() == pytest.approx(1.0)  # std sqrt(2), over sqrt(2)
    per_token, token_error = token_nats(kl, mask)
    assert per_token.item() == pytest.approx(8 / 3)
    # sums 3 and 5, lengths 2 and 1: residuals 3 - 16/3 and 5 - 8/3, i.e. -+7/3; their mean errs by
    # 7/3; over the mean length
    assert token_error.item() == pytest.approx(7 / 3 / 1.5)
    assert per_token.item() * 1.5 == pytest.approx(per_sequence.item())  # mean length 1.5


def test_one_sequence_has_no_standard_error() -> None:
    mean_, error = sequence_nats(tensor([[1.0, 2.0]]), tensor([[True, True]]))
    assert mean_.item() == 3.0
    assert math.isnan(error.item())


def test_mask_after_eos() -> None:
    kl = tensor([[1.0, 2.0, 3.0]])
    mask = tensor([[True, True, False]])
    changed = tensor([[1.0, 2.0, torch.nan]])
    assert token_nats(kl, mask)[0].item() == token_nats(changed, mask)[0].item() == 1.5
    assert sequence_nats(changed, mask)[0].item() == 3.0
    assert log_ratio_clip_fraction(changed * 100, torch.zeros(1, 3), mask).item() == 1.0


def test_mixture_kl_by_hand() -> None:
    """ref even over two tokens, pi 1/5 and 4/5: at 1/2 the mixture is 1 : 2, whose KL to the even
    one is log 2 - H(1/3); 0 at 0, pi's own at 1, more beyond."""
    ref, pi = (torch.tensor(p, dtype=torch.float64).log() for p in ([0.5, 0.5], [0.2, 0.8]))
    expected = [0.0, math.log(1 / 3) / 3 + 2 * math.log(2 / 3) / 3 + math.log(2)]
    expected += [float(exact(pi, ref))]
    nats = [float(mixture_kl(ref, pi, weight)) for weight in (0.0, 0.5, 1.0, 1.5)]
    assert nats[:3] == pytest.approx(expected) and nats[3] > nats[2]
    rows = mixture_kl(ref.expand(2, 2), pi.expand(2, 2), torch.tensor([0.5, 1.0]))
    assert rows.tolist() == pytest.approx(expected[1:])
