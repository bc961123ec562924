import pytest
import torch

from rlhf.oracle import enumerate_responses


def test_all_responses_by_hand() -> None:
    tokens, mask = enumerate_responses(3, eos_id=2, max_length=2)
    assert tokens.tolist() == [[2, 2], [0, 2], [1, 2], [0, 0], [0, 1], [1, 0], [1, 1]]
    assert mask.sum(-1).tolist() == [1, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(("vocab", "eos", "length"), [(2, 0, 4), (4, 1, 3), (5, 4, 1)])
def test_probabilities_add_up_to_one(vocab: int, eos: int, length: int) -> None:
    tokens, mask = enumerate_responses(vocab, eos, length)
    assert len(tokens) == sum((vocab - 1) ** k for k in range(length)) + (vocab - 1) ** length
    assert len({tuple(row) for row in tokens.tolist()}) == len(tokens)
    p = torch.softmax(torch.arange(vocab, dtype=torch.float64), -1)  # any policy; here one that forgets its prefix
    assert (p.log()[tokens] * mask).sum(-1).exp().sum().item() == pytest.approx(1.0)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="outside"):
        enumerate_responses(3, 3, 2)
    with pytest.raises(ValueError, match="at least 1"):
        enumerate_responses(3, 0, 0)
    with pytest.raises(ValueError, match="too many"):
        enumerate_responses(100, 0, 5)
