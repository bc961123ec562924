"""What two ranks tell each other, over gloo."""

import math
from dataclasses import replace

import torch

from rlhf.ranks.group import ALONE, Ranks
from rlhf.ranks.rows import by_rows, gathered, joined, own
from rlhf.rundir.errors import RunFailed
from rlhf.types import PromptBatch, Rollout
from tests.turns import prompts
from tests.two_ranks import on_two_ranks


def numbers(rank):
    ranks = Ranks(rank=rank, size=2)
    return {
        "sum": ranks.sum([rank + 1.0, 0.25]),
        "largest": ranks.largest([float(rank), -1.0, math.nan if rank else 3.0]),
        "any": (ranks.any(rank == 1), ranks.any(False)),
        "gather": ranks.gather(f"rank {rank}"),
        "first": ranks.from_first(lambda: f"from {rank}"),
        "differing": ranks.differing({"same": 1, "other": rank}),
    }


def test_what_ranks_tell_each_other():
    first, second = on_two_ranks(numbers)
    assert str(first) == str(second)  # NaN is not equal to itself
    assert first["sum"] == [3.0, 0.5]
    assert first["largest"][:2] == [1.0, -1.0] and math.isnan(first["largest"][2])
    assert first["any"] == (True, False)
    assert first["gather"] == ["rank 0", "rank 1"]
    assert first["first"] == "from 0" and first["differing"] == ["other"]


def agreement(rank):
    ranks, told = Ranks(rank=rank, size=2), ""
    ranks.check_same({"KL": float("nan")}, "ppo, iteration 1")
    try:
        ranks.check_same({"KL": 1.0, "coefficient": 0.1 + rank}, "ppo, iteration 2")
    except RunFailed as error:
        told = str(error)
    return told


def test_ranks_that_part_are_told_of():
    sentence = "ppo, iteration 2: the ranks have not the same coefficient"
    assert on_two_ranks(agreement) == [sentence, sentence]


def test_one_process_gives_what_it_got():
    assert ALONE.sum([0.1]) == [0.1] and ALONE.largest([0.1]) == [0.1] and not ALONE.any(False)
    assert ALONE.gather(1) == [1] and ALONE.from_first(lambda: 2) == 2
    assert ALONE.differing({"a": 1}) == [] and ALONE.leads


def rollout(rows, length):
    """Row i holds i everywhere; the mask is as long as the row says."""
    column = torch.tensor(rows)[:, None]
    return Rollout(
        prompt=PromptBatch(
            tokens=column.repeat(1, 2),
            mask=torch.ones(len(rows), 2, dtype=torch.bool),
            prompts=prompts(*(str(row) for row in rows)),
        ),
        tokens=column.repeat(1, length),
        mask=torch.ones(len(rows), length, dtype=torch.bool),
        logp=column.repeat(1, length).float(),
        ended=torch.tensor(rows) > 2,
    )


def test_the_parts_of_a_batch_make_it_whole():
    """Rank 0 has the rows 0, 2, 4 with 1 token, rank 1 the rows 1 and 3 with 3."""
    whole = joined([rollout([0, 2, 4], 1), rollout([1, 3], 3)])
    assert whole.prompt.texts == ("0", "1", "2", "3", "4")
    assert whole.tokens.tolist() == [[0, 0, 0], [1, 1, 1], [2, 0, 0], [3, 3, 3], [4, 0, 0]]
    assert whole.mask.sum(1).tolist() == [1, 3, 1, 3, 1]
    assert whole.ended.tolist() == [False, False, False, True, True]


def test_what_an_engine_does_not_tell_stays_unknown():
    """Entropies of which one rank has none; else they are joined as any other column."""
    one, two = rollout([0, 2], 1), rollout([1], 2)
    assert joined([one, two]).entropy is None and one.rows(torch.tensor([1])).entropy is None
    known = [replace(part, entropy=part.logp / 4) for part in (one, two)]
    assert joined(known).entropy.tolist() == [[0, 0], [0.25, 0.25], [0.5, 0]]
    assert joined([known[0], two]).entropy is None
    assert known[0].rows(torch.tensor([1])).to("cpu").entropy.tolist() == [[0.5]]


def shares(rank):
    ranks, whole = Ranks(rank=rank, size=2), rollout([0, 1, 2, 3, 4], 2)
    mine = own(ranks, whole, 5)
    together, scores = gathered(ranks, [mine, {"gold": mine.logp[:, 0]}])
    read = by_rows(ranks, lambda part: part.logp * 2, whole, 5)
    alone = by_rows(ranks, lambda part: part.logp * 2, whole.rows(torch.tensor([3])), 1)
    return mine.prompt.texts, together.tokens, scores["gold"], read, alone


def test_each_rank_has_its_rows_and_all_have_the_whole():
    first, second = on_two_ranks(shares)
    assert first[0] == ("0", "2", "4") and second[0] == ("1", "3")
    for _, tokens, gold, read, alone in (first, second):
        assert tokens.tolist() == [[row, row] for row in range(5)]
        assert gold.tolist() == [0, 1, 2, 3, 4]
        assert read.tolist() == [[2 * row, 2 * row] for row in range(5)]
        assert alone.tolist() == [[6, 6]]  # rank 1 had no row
