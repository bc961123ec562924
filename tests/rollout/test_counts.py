from dataclasses import replace

import pytest
import torch

from rlhf.rollout.counts import FirstWarning, largest_reward, rollout_counts, totals
from rlhf.types import PromptBatch, Rollout, ScoredRollout
from tests.turns import prompts


def scored(scores, lengths, ended):
    """Responses of these lengths; nothing else of them is looked at."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    zeros, score = torch.zeros(mask.shape), torch.tensor(scores)
    prompt = PromptBatch(
        tokens=torch.zeros(len(scores), 1, dtype=torch.long),
        mask=torch.ones(len(scores), 1, dtype=torch.bool),
        prompts=prompts("p") * len(scores),
    )
    rollout = Rollout(
        prompt=prompt, tokens=zeros.long(), mask=mask, logp=zeros, ended=torch.tensor(ended)
    )
    return ScoredRollout(
        logp=zeros,
        ref_logp=zeros,
        exact_kl=zeros,
        entropy=zeros,
        rollout=rollout,
        kl=zeros,
        values=None,
        judge_scores={"gold": score},
        raw_score=score,
        score=score,
    )


def test_counts_by_hand():
    """Of 5 drawn 4 are left: one is empty (a single token that did not end is not), one is larger
    than 0.5 * 2^24 = 8388608."""
    four = scored([1.0, 2.0, 9.0e6, 1.0], [1, 1, 2, 3], [True, False, True, False])
    assert rollout_counts(four, 0.5, drawn=5) == {
        "rollout/responses": 5,
        "rollout/nonfinite": 1,
        "rollout/empty": 1,
        "rollout/equal_rewards": 0,
        "rollout/huge_rewards": 1,
    }
    equal = replace(four, score=torch.full((4,), 3.0))
    assert rollout_counts(equal, 0.5, drawn=4)["rollout/equal_rewards"] == 1
    one = scored([3.0], [2], [True])
    assert rollout_counts(one, 0.5, drawn=1)["rollout/equal_rewards"] == 0


def test_beyond_the_largest_reward_float32_loses_a_nat():
    coef = 0.05
    largest = largest_reward(coef)
    assert largest == pytest.approx(838860.8)
    at, beyond = torch.tensor(largest / 4), torch.tensor(largest * 4)
    assert at - coef != at and beyond - coef == beyond
    # without a coefficient only squares can overflow
    assert largest_reward(0.0) == pytest.approx(1.8446744e19)
    assert torch.isfinite(torch.tensor(1.8e19).square())
    assert torch.isinf(torch.tensor(1.9e19).square())


def test_a_symptom_is_told_once(caplog):
    warn = FirstWarning()
    for iteration in (1, 2, 3):
        counts = {"rollout/equal_rewards": float(iteration > 1), "rollout/empty": 0.0}
        warn({**counts, "rollout/responses": 8.0}, f"ppo, iteration {iteration}")
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("ppo, iteration 2: all rewards of a rollout were equal")


def test_totals_of_a_run():
    def row(iteration, **counts):
        of_rollout = dict.fromkeys(("nonfinite", "empty", "equal_rewards", "huge_rewards"), 0)
        named = {f"rollout/{name}": n for name, n in {**of_rollout, **counts}.items()}
        return {"iteration": iteration, "rollout/responses": 8, **named}

    start = {"iteration": 0, "eval/reward/gold": 1.0, "eval/rollout/nonfinite": 0}
    rows = [start, row(1), row(2, equal_rewards=1, empty=2), row(3, nonfinite=2, empty=3)]
    assert totals(rows[:2]) == []
    assert totals(rows) == [
        "responses with a NaN or infinite number were left out of training, in 1 of 3 iterations"
        " (rollout/nonfinite)",
        "all rewards of a rollout were equal: they prefer no response, and whitened advantages are"
        " the value model's noise, in 1 of 3 iterations (rollout/equal_rewards)",
        "more than 25% of a rollout's responses were empty (EOS is their first token), in 1 of 3"
        " iterations (rollout/empty)",
    ]
