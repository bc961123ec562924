import math

import pytest
import torch
from torch import tensor

from rlhf.functional.kl import exact
from rlhf.functional.logprobs import entropy, token_logp


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
