import json

import pytest
import torch

from rlhf.models.load import scalar_model_from
from rlhf.rewards.ensemble import EnsembleScorer
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.score import Judges, judged
from rlhf.rundir.files import read_jsonl
from tests.turns import engine, prompt_batch, stops

MEMBERS = torch.tensor([[1.0, 2.0], [3.0, 2.0], [5.0, 8.0]])  # means 3 and 4


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [3.0, 4.0]),
        ("min", [1.0, 2.0]),
        # standard deviations sqrt((4 + 0 + 4) / 3) and sqrt((4 + 4 + 16) / 3)
        ("mean_minus_std", [3.0 - 2 * (8 / 3) ** 0.5, 4.0 - 2 * 8**0.5]),
    ],
)
def test_of_three(responses_of, how, expected):
    responses = responses_of(["a", "b"]).with_scores({"proxy": MEMBERS[0]})
    object.__setattr__(responses, "members", MEMBERS)
    read, score = judged(EnsembleScorer(3, how, k=2.0), responses)
    assert score.tolist() == pytest.approx(expected)
    assert read.scores["proxy"].tolist() == pytest.approx(expected)
    assert read.scores["disagreement"].tolist() == pytest.approx([(8 / 3) ** 0.5, 8**0.5])
    kept = read.rows(torch.tensor([1]))
    assert kept.members.tolist() == [[2.0], [2.0], [8.0]]


def test_judges_read_every_member(policy, tokenizer):
    models = [scalar_model_from(policy, seed=seed).eval() for seed in range(3)]
    prompts = prompt_batch(tokenizer, ["a b", "c"])
    draws = torch.Generator().manual_seed(0)
    rollout = engine(policy, tokenizer).respond(prompts, Sampling(max_new_tokens=4), draws)
    shared = {"tokenizer": tokenizer, "stops": stops(tokenizer)}
    read = Judges(reward_model=models[0], members=tuple(models[1:]), **shared).read(rollout)
    for model, scores in zip(models, read.members, strict=True):
        alone = Judges(reward_model=model, **shared).read(rollout)
        assert torch.equal(alone.scores["proxy"], scores) and alone.members is None
    assert torch.equal(read.scores["proxy"], read.members[0])


def test_refusals(responses_of):
    with pytest.raises(ValueError, match="members must be 2 or more"):
        EnsembleScorer(1)
    with pytest.raises(ValueError, match="k must be 0 or more"):
        EnsembleScorer(2, k=-1.0)
    with pytest.raises(ValueError, match="needs 2 reward models, there are 0"):
        EnsembleScorer(2)(responses_of(["a"]))


def test_a_run_trains_its_members_once(run_in, tmp_path, artifacts):
    """Three reward models of the seeds 7, 8 and 9: the same that `reward_model.seed=8` alone asks
    for, so that a run of it finds it trained."""
    lines = ("scorer=ensemble", "scorer.how=min", "reward_model.seed=7", "ppo.iterations=2")
    before = {*(artifacts / "reward_model").glob("*/manifest.json")}
    summary = run_in(tmp_path / "run", *lines)
    made = {*(artifacts / "reward_model").glob("*/manifest.json")} - before
    assert sorted(json.loads(path.read_text())["seed"] for path in made) == [7, 8, 9]
    assert summary["reward/disagreement"] > 0
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert rows[1]["reward/disagreement"] > 0
    assert rows[1]["reward/proxy"] == pytest.approx(rows[1]["ppo/score"])

    run_in(tmp_path / "alone", "stage=reward_model", "reward_model.seed=8")
    assert {*(artifacts / "reward_model").glob("*/manifest.json")} == before | made


def test_a_member_draws_its_own_rows(run_in, tmp_path):
    """With reward_model.max_rows the rows of a seed are the same in an ensemble and alone."""
    together, alone = tmp_path / "together", tmp_path / "alone"
    some = ("reward_model.max_rows=20", "reward_model.epochs=1")
    lines = ("scorer=ensemble", "scorer.members=2", "ppo.iterations=1", *some)
    run_in(tmp_path / "run", *lines, f"paths.artifacts={together}")
    lines = ("stage=reward_model", "reward_model.seed=1", *some)
    run_in(tmp_path / "one", *lines, f"paths.artifacts={alone}")
    (path,) = (alone / "reward_model").glob("*/model.safetensors")
    member = together / "reward_model" / path.parent.name / path.name
    assert member.read_bytes() == path.read_bytes()
