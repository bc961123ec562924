import pytest
import torch

from rlhf.data.loaders import (
    MicroBatches,
    ShuffledBatches,
    draw_prompts,
    in_order,
    into,
    parts_of,
)
from rlhf.types import AtOnce, DemonstrationBatch, PromptBatch
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


def test_held_out_batches_keep_their_order():
    assert [int(t) for b in in_order(list(range(5)), 2, collate) for t in b.tokens[:, 0]] == list(
        range(5)
    )


# --- micro-batches


def padded(rows):
    """Rows of these lengths, together."""
    return len(rows) * max(rows)


def test_parts_by_rows_are_even_and_in_order():
    parts = parts_of([5, 1, 4, 2, 3], AtOnce(rows=2), padded)
    assert parts == [[5], [1, 4], [2, 3]]
    assert parts_of([5, 1], AtOnce(rows=8), padded) == [[5, 1]]


def test_parts_by_tokens_count_the_padding():
    """Of lengths 5, 1, 4, 2, 3 with 8 tokens at once: 5 alone (two of 5 are 10), 4 and 3 (two of 4
    are 8), 2 and 1. One row at least, however long."""
    parts = parts_of([5, 1, 4, 2, 3], AtOnce(tokens=8), padded)
    assert parts == [[5], [4, 3], [2, 1]]
    assert parts_of([5, 9], AtOnce(tokens=3), padded) == [[9], [5]]


def test_parts_are_halved_until_there_are_enough():
    assert into(3, [[5], [4, 3, 2, 1]]) == [[5], [4, 3], [2, 1]]
    assert into(9, [[5], [4, 3]]) == [[5], [4], [3]]


def test_every_step_but_the_last_has_as_many_micro_batches():
    """Batches of 4 of the lengths 1 to 10, 8 tokens at once: an epoch's steps have as many parts as
    the one that needs most."""
    steps = ShuffledBatches(
        list(range(1, 11)), 4, rows_of_lengths, seed=0, stage="sft", epoch=lambda: 0
    )
    began = []
    parts = [*MicroBatches(steps, AtOnce(tokens=8), tokens=padded, began=began.append)]
    needs = [len(parts_of(rows, AtOnce(tokens=8), padded)) for rows in steps.steps()]
    assert began == [max(needs)] and all(part.splits == began[0] for part in parts)
    lengths = [sorted(part.attention.sum(1).tolist()) for part in parts]
    assert all(sum(row) <= 8 or len(row) == 1 for row in lengths)
    whole, last = parts[: 2 * began[0]], parts[2 * began[0] :]
    for step, rows in zip((whole[: began[0]], whole[began[0] :], last), steps.steps(), strict=True):
        seen = [length for part in step for length in part.attention.sum(1).tolist()]
        assert sorted(seen) == sorted(rows)
        assert {part.step_count for part in step} == {sum(rows) - len(rows)}


def rows_of_lengths(lengths):
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return DemonstrationBatch(tokens=mask.long(), attention=mask, loss_mask=mask)
