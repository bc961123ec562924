import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.modules.minibatches import steps_of
from rlhf.randomness import generator
from rlhf.types import Experience, Rollout
from tests.turns import prompt_batch


def experience(tokenizer, lengths):
    """Responses of so many tokens to prompts of one token; advantages number them."""
    prompts = prompt_batch(tokenizer, ["a"] * len(lengths))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    zeros = torch.zeros(mask.shape)
    rollout = Rollout(
        prompt=prompts,
        tokens=torch.zeros(mask.shape, dtype=torch.long),
        mask=mask,
        logp=zeros,
        ended=mask.all(1),
    )
    number = torch.arange(float(len(lengths)))[:, None].expand_as(zeros)
    return Experience(
        rollout=rollout,
        logp=zeros,
        ref_logp=zeros,
        score=torch.zeros(len(lengths)),
        values=None,
        advantages=number,
        returns=None,
        reward_unit=1.0,
    )


def draws(count):
    return [generator(0, f"order-{i}") for i in range(count)]


def test_every_row_is_in_each_pass_once_and_knows_its_whole_step(tokenizer):
    made = experience(tokenizer, [1, 2, 3, 4, 5, 6, 7, 8])
    steps = steps_of(made, draws(2), 4, AtOnce(rows=2))
    assert [step.epoch for step in steps] == [0, 0, 1, 1] and {s.splits for s in steps} == {2}
    numbers = []
    for step in steps:
        parts = list(step.minibatches(made))
        assert [part.splits for part in parts] == [2, 2]
        assert {part.step_sequences for part in parts} == {4}
        tokens = {part.step_tokens for part in parts}
        assert tokens == {sum(int(part.experience.mask.sum()) for part in parts)}
        assert all(part.epoch == step.epoch for part in parts)
        numbers += [x for part in parts for x in part.experience.advantages[:, 0].tolist()]
    assert sorted(numbers[:8]) == sorted(numbers[8:]) == list(range(8))
    assert numbers[:8] != numbers[8:]


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_largest_micro_batch_keeps_to_the_limit_in_real_tokens(tokenizer, ranks):
    """Rows of 2 to 9 tokens with their prompts, 44 in all: a limit of 12 needs 4 at the least."""
    made = experience(tokenizer, [1, 2, 3, 4, 5, 6, 7, 8])
    (step,) = steps_of(made, draws(1), 8, AtOnce(tokens=12), ranks)
    sizes = [
        int(part.experience.rollout.attention.sum())
        for rank in range(ranks)
        for part in step.minibatches(made, rank)
    ]
    assert sum(sizes) == 44 and sorted(sizes) == [11, 11, 11, 11] and step.splits == 4 // ranks


def test_one_row_at_least_and_as_many_pieces_in_every_step(tokenizer):
    """A limit below the longest row; and three rows in two steps, of which one has a row too
    few."""
    made = experience(tokenizer, [9, 1, 1])
    steps = steps_of(made, draws(1), 2, AtOnce(tokens=3))
    assert [len(step.rows) for step in steps] == [2, 1] and {s.splits for s in steps} == {2}
    last = list(steps[1].minibatches(made))
    assert [int(part.experience.mask.any()) for part in last] == [1, 0]
    assert len(last[1].experience) == 1  # a forward pass needs a row


def test_without_a_limit_a_step_is_one_piece_in_the_order_of_its_rows(tokenizer):
    made = experience(tokenizer, [3, 1, 2])
    (step,) = steps_of(made, draws(1), 8, AtOnce())
    (only,) = step.minibatches(made)
    assert only.experience.advantages[:, 0].tolist() == step.rows.tolist()
