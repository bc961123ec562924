import math

import pytest
import torch
from torch import tensor

from rlhf.functional.kl import exact
from rlhf.functional.logprobs import entropy, mixture, token_logp


def test_token_logp_by_hand() -> None:
    logits = tensor([[[math.log(1.0), math.log(2.0), math.log(5.0)]]])
    torch.testing.assert_close(token_logp(logits, tensor([[2]])), tensor([[math.log(5 / 8)]]))
    # at T = 1/2 the weights are squared: 1, 4, 25
    torch.testing.assert_close(token_logp(logits, tensor([[1]]), 0.5), tensor([[math.log(4 / 30)]]))


def test_token_logp_is_log_softmax_and_does_not_shift() -> None:
    torch.manual_seed(0)
    logits, tokens = torch.randn(3, 4, 7), torch.randint(7, (3, 4))
    picked = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    torch.testing.assert_close(token_logp(logits, tokens), picked)
    with pytest.raises(ValueError, match="do not fit"):
        token_logp(logits, tokens[:, 1:])


def test_bfloat16_logits_are_widened() -> None:
    logits = torch.randn(1, 2, 50, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert token_logp(logits, tensor([[3, 4]])).dtype == torch.float32
    assert entropy(logits).dtype == torch.float32


def test_entropy_by_hand() -> None:
    uniform = torch.zeros(1, 1, 4)
    torch.testing.assert_close(entropy(uniform), tensor([[math.log(4)]]))
    cut = tensor([[[0.0, 0.0, -torch.inf, -torch.inf]]], requires_grad=True)
    torch.testing.assert_close(entropy(cut), tensor([[math.log(2)]]))


def test_temperature() -> None:
    """Every function at T is that of the logits divided by T, the KL between the tempered
    distributions."""
    torch.manual_seed(1)
    logits, ref = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    torch.testing.assert_close(entropy(logits, 0.7), entropy(logits / 0.7))
    pi, q = (logits / 0.7).softmax(-1), (ref / 0.7).softmax(-1)
    torch.testing.assert_close(exact(logits, ref, 0.7), (pi * (pi / q).log()).sum(-1))
    assert not torch.allclose(exact(logits, ref, 0.7), exact(logits, ref))
    with pytest.raises(ValueError, match="temperature"):
        token_logp(logits, torch.zeros(2, 3, dtype=torch.long), 0.0)


def test_mixture_by_hand() -> None:
    """ref = 1/2, 1/4, 1/4 and pi = 1/8, 1/8, 3/4. At 1/2 it is sqrt(1/16) : sqrt(1/32) :
    sqrt(3/16) = 1 : 1/sqrt 2 : sqrt 3; at 2, pi^2 / ref, 1/32 : 1/16 : 9/4 = 1 : 2 : 72."""
    ref, pi = (torch.tensor(p).log() for p in ([0.5, 0.25, 0.25], [0.125, 0.125, 0.75]))
    half = torch.tensor([1.0, 2**-0.5, 3**0.5])
    assert torch.allclose(mixture(ref + 3, pi - 2, 0.5).softmax(-1), half / half.sum())
    two = torch.tensor([1.0, 2.0, 72.0]) / 75
    assert torch.allclose(mixture(ref, pi, 2.0).softmax(-1), two, atol=1e-6)


def test_mixture_has_a_weight_for_each_row_and_its_ends_are_exact() -> None:
    draws = torch.Generator().manual_seed(0)
    ref, pi = (torch.randn(3, 2, 5, generator=draws) for _ in range(2))
    mixed = mixture(ref, pi, torch.tensor([0.0, 1.0, 0.25])[:, None])
    assert torch.equal(mixed[0], ref[0]) and torch.equal(mixed[1], pi[1])
    assert torch.allclose(mixed[2], 0.75 * ref[2] + 0.25 * pi[2])
    narrow = mixture(ref.bfloat16(), pi.bfloat16(), 1.0)
    assert narrow.dtype == torch.float32 and torch.equal(narrow, pi.bfloat16().float())


def test_the_temperature_is_the_same_before_and_after_mixing() -> None:
    draws = torch.Generator().manual_seed(1)
    ref, pi = (torch.randn(4, 6, generator=draws) for _ in range(2))
    before = mixture((ref / 0.7).log_softmax(-1), (pi / 0.7).log_softmax(-1), 0.4)
    after = mixture(ref, pi, 0.4) / 0.7
    assert torch.allclose(before.softmax(-1), after.softmax(-1), atol=1e-6)


def test_mixture_excludes_what_one_of_both_excludes() -> None:
    gap = -torch.inf
    ref, pi = torch.tensor([0.0, gap, gap, 0.0]), torch.tensor([gap, 0.0, gap, 0.0])
    for weight in (0.5, 1.5):
        assert mixture(ref, pi, weight).tolist() == [gap, gap, gap, 0.0]
    assert torch.equal(mixture(ref, pi, 0.0), ref) and torch.equal(mixture(ref, pi, 1.0), pi)
