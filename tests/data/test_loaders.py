import pytest
import torch

from rlhf.at_once import AtOnce, micro_batches
from rlhf.data.loaders import (
    MicroBatches,
    ShuffledBatches,
    draw_prompts,
    packs,
)
from rlhf.types import DemonstrationBatch, PromptBatch
from tests.turns import prompts


def collate(rows):
    mask = torch.ones(len(rows), 1, dtype=torch.bool)
    return PromptBatch(
        tokens=torch.tensor([[r] for r in rows]), mask=mask, prompts=prompts(*map(str, rows))
    )


def order(seed, epoch, size=3):
    batches = ShuffledBatches(
        list(range(10)), size, collate, seed=seed, stage="sft", epoch=lambda: epoch
    )
    return [int(t) for batch in batches for t in batch.tokens[:, 0]]


def test_each_epoch_sees_every_row_once_in_an_order_of_its_own():
    assert sorted(order(0, 0)) == list(range(10))
    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) and order(0, 0) != order(1, 0)


def test_the_order_does_not_depend_on_the_batch_size():
    assert order(0, 2, size=3) == order(0, 2, size=10)


def test_length_counts_the_short_last_batch():
    assert (
        len(ShuffledBatches(list(range(10)), 3, collate, seed=0, stage="sft", epoch=lambda: 0)) == 4
    )


def test_no_rows_is_an_error_that_names_the_stage():
    with pytest.raises(ValueError, match="sft"):
        ShuffledBatches([], 3, collate, seed=0, stage="sft", epoch=lambda: 0)


def test_prompts_go_round_all_of_them_before_any_comes_again():
    prompts = [str(i) for i in range(5)]
    drawn = [p for i in range(1, 6) for p in draw_prompts(prompts, 3, 0, i)]
    assert [sorted(drawn[i : i + 5]) for i in (0, 5, 10)] == [prompts] * 3
    assert draw_prompts(prompts, 12, 0, 1) == draw_prompts(prompts, 12, 0, 1)


def test_several_responses_to_each_prompt_stand_in_a_row():
    """The prompts are those that a rollout of as many prompts has."""
    prompts = list("abcdef")
    drawn = [p for i in (1, 2) for p in draw_prompts(prompts, 9, 0, i, each=3)]
    distinct = [p for i in (1, 2) for p in draw_prompts(prompts, 3, 0, i)]
    assert drawn == [p for p in distinct for _ in range(3)]
    assert sorted(distinct) == prompts


def test_held_out_rows_come_longest_first_in_packs_of_real_tokens():
    """Of lengths 5, 1, 4, 2, 3 with 8 tokens at once: 5 alone (5 + 4 is 9), 4 + 3, 2 + 1."""
    batches = [*packs([5, 1, 4, 2, 3], collate, at_once=AtOnce(tokens=8), tokens=int)]
    assert [batch.tokens[:, 0].tolist() for batch in batches] == [[5], [4, 3], [2, 1]]


# --- micro-batches


def test_every_step_but_the_last_has_as_many_micro_batches():
    """Batches of 4 of the lengths 1 to 10, 8 tokens at once: an epoch's steps have as many parts as
    the one that needs most, of about equally many tokens; the last has what it needs."""
    steps = ShuffledBatches(
        list(range(1, 11)), 4, rows_of_lengths, seed=0, stage="sft", epoch=lambda: 0
    )
    began = []
    parts = [*MicroBatches(steps, AtOnce(tokens=8), tokens=int, began=began.append)]
    (splits,) = began
    needs = [len(micro_batches([rows], AtOnce(tokens=8))[0]) for rows in steps.steps()]
    assert splits == max(needs) and all(part.splits == splits for part in parts)
    assert len(parts) == 2 * splits + needs[-1]
    for i, rows in enumerate(steps.steps()):
        step = parts[splits * i : splits * (i + 1)]
        lengths = [part.attention.sum(1).tolist() for part in step]
        assert sorted(length for own in lengths for length in own) == sorted(rows)
        assert all(sum(own) <= 8 or len(own) == 1 for own in lengths)
        assert {part.step_count for part in step} == {sum(rows) - len(rows)}


def rows_of_lengths(lengths):
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return DemonstrationBatch(tokens=mask.long(), attention=mask, loss_mask=mask)
