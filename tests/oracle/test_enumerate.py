import pytest
import torch

from rlhf.oracle import count_responses, enumerate_responses, enumerate_rollout
from rlhf.types import PromptBatch
from tests.turns import prompts as questions


def test_all_responses_by_hand() -> None:
    tokens, mask = enumerate_responses(3, eos_id=2, max_length=2)
    assert tokens.tolist() == [[2, 2], [0, 2], [1, 2], [0, 0], [0, 1], [1, 0], [1, 1]]
    assert mask.sum(-1).tolist() == [1, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(("vocab", "eos", "length"), [(2, 0, 4), (4, 1, 3), (5, 4, 1)])
def test_probabilities_add_up_to_one(vocab: int, eos: int, length: int) -> None:
    tokens, mask = enumerate_responses(vocab, eos, length)
    assert len(tokens) == sum((vocab - 1) ** k for k in range(length)) + (vocab - 1) ** length
    assert len({tuple(row) for row in tokens.tolist()}) == len(tokens)
    # any policy; here one that forgets its prefix
    p = torch.softmax(torch.arange(vocab, dtype=torch.float64), -1)
    assert (p.log()[tokens] * mask).sum(-1).exp().sum().item() == pytest.approx(1.0)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="outside"):
        enumerate_responses(3, 3, 2)
    with pytest.raises(ValueError, match="at least 1"):
        enumerate_responses(3, 0, 0)
    with pytest.raises(ValueError, match="too many"):
        enumerate_responses(100, 0, 5)


def test_every_response_to_every_prompt() -> None:
    prompts = PromptBatch(
        tokens=torch.tensor([[0, 1], [1, 0]]),
        mask=torch.tensor([[False, True], [True, True]]),
        prompts=questions(*("b", "b a")),
    )
    rollout = enumerate_rollout(prompts, 3, 2, 2)
    n = count_responses(3, 2)
    assert n == 7 and len(rollout.tokens) == 14
    assert rollout.prompt.texts == ("b",) * 7 + ("b a",) * 7
    assert rollout.ended.tolist() == [True, True, True, False, False, False, False] * 2
    assert torch.equal(rollout.tokens[:7], rollout.tokens[7:]) and torch.equal(
        rollout.prompt.mask[0], prompts.mask[0]
    )


def test_the_limit_holds_for_all_prompts_together() -> None:
    prompts = PromptBatch(
        tokens=torch.zeros(100, 1).long(),
        mask=torch.ones(100, 1).bool(),
        prompts=questions("a") * 100,
    )
    with pytest.raises(ValueError, match="to 100 prompts are too many"):
        enumerate_rollout(prompts, 12, 0, 4)
