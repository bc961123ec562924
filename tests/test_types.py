import torch

from rlhf.at_once import AtOnce
from rlhf.types import Minibatch, PromptBatch, Rollout, ScoredRollout
from tests.turns import prompts


def test_what_goes_through_a_network_at_once():
    assert AtOnce().of(64, 100) == 64 and not AtOnce().limits
    assert AtOnce(rows=8).of(64, 100) == 8 and AtOnce(rows=100).of(64, 100) == 64
    assert AtOnce(tokens=250).of(64, 100) == 2  # 250 // 100
    assert AtOnce(tokens=50).of(64, 100) == 1  # one row at least
    assert AtOnce(rows=3, tokens=1000).of(64, 100) == 3
    assert AtOnce(tokens=1000).of(4, 100) == 4


def test_rows_are_cut_by_their_length():
    """The longest first; of one length in order."""
    assert AtOnce().cut([3, 5, 1, 5]) == [[1, 3, 0, 2]]
    assert AtOnce(tokens=8).cut([3, 5, 1, 5]) == [[1], [3, 0], [2]]  # 5, 5 + 3, 1
    assert AtOnce(rows=3).cut([3, 5, 1, 5]) == [[1, 3, 0], [2]]
    assert AtOnce(tokens=4).cut([3, 5]) == [[1], [0]]  # one row at least
    assert AtOnce(rows=1, tokens=100).cut([2, 2]) == [[0], [1]]
    assert AtOnce(tokens=8).cut([]) == []


def test_rows_of_everything_nested():
    prompt = PromptBatch(
        tokens=torch.arange(6).reshape(3, 2),
        mask=torch.ones(3, 2, dtype=torch.bool),
        prompts=prompts(*("a", "b", "c")),
    )
    x = torch.arange(3.0)[:, None]
    rollout = Rollout(
        prompt=prompt,
        tokens=torch.arange(3)[:, None],
        mask=torch.ones(3, 1, dtype=torch.bool),
        logp=x,
        ended=x[:, 0] > 0,
    )
    scored = ScoredRollout(
        rollout=rollout,
        logp=x,
        ref_logp=x,
        kl=x,
        exact_kl=x,
        entropy=x,
        values=x,
        judge_scores={"gold": x[:, 0]},
        raw_score=x[:, 0],
        score=x[:, 0],
    )
    some = scored.rows(torch.tensor([2, 0]))
    assert some.rollout.prompt.texts == ("c", "a")
    assert some.rollout.prompt.tokens.tolist() == [[4, 5], [0, 1]]
    assert some.judge_scores["gold"].tolist() == [2.0, 0.0] and some.rollout.ended.tolist() == [
        True,
        False,
    ]
    assert some.rollout.sequence.tolist() == [[4, 5, 2], [0, 1, 0]]
    assert scored.rollout.prompt.texts == ("a", "b", "c")


def test_numbers_stay_when_a_batch_moves():
    batch = Minibatch(experience=None, step_tokens=3, step_sequences=2, splits=1)  # type: ignore[arg-type]
    assert batch.to("cpu") == batch
