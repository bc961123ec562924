import pytest
import torch

from rlhf.data.loaders import ShuffledBatches, draw_prompts, in_order
from rlhf.types import PromptBatch
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
