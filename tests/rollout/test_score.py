import pytest
import torch

from rlhf.data.collate import collate_prompts, eos_id, pad_id
from rlhf.models.load import scalar_model_from
from rlhf.randomness import generator
from rlhf.rollout.engines.torch import Sampling, generate
from rlhf.rollout.score import GoldScorer, Judges, RewardModelScorer, clip_score, missing_eos


def length_gold(prompts, responses):
    return [float(len(r.split())) for r in responses]


def rollout_of(policy, tokenizer):
    return generate(
        policy,
        collate_prompts(tokenizer, ["a b", "c"] * 4),
        Sampling(max_new_tokens=6),
        eos=eos_id(tokenizer),
        pad=pad_id(tokenizer),
        generator=generator(0, "score"),
    )


def test_missing_eos():
    """set: score := value; subtract: score -= value; both only where no EOS came."""
    score, ended = torch.tensor([2.0, 3.0]), torch.tensor([True, False])
    assert missing_eos(score, ended, "none", -1.0).tolist() == [2.0, 3.0]
    assert missing_eos(score, ended, "set", -1.0).tolist() == [2.0, -1.0]
    assert missing_eos(score, ended, "subtract", 1.0).tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match="subtract"):
        missing_eos(score, ended, "substract", 1.0)


def test_reward_clip():
    assert clip_score(torch.tensor([-7.0, 0.5, 7.0]), 5.0).tolist() == [-5.0, 0.5, 5.0]
    assert clip_score(torch.tensor([-7.0]), None).tolist() == [-7.0]


def test_the_reward_model_scores_whole_rows_at_their_last_token(policy, tokenizer):
    rollout, scalar = rollout_of(policy, tokenizer), scalar_model_from(policy, seed=0)
    scores = Judges(tokenizer=tokenizer, reward_model=scalar).scores(rollout)["proxy"]
    for i in range(len(scores)):
        ids = torch.cat(
            [rollout.prompt.tokens[i][rollout.prompt.mask[i]], rollout.tokens[i][rollout.mask[i]]]
        )[None]
        assert torch.allclose(
            scalar.score(ids, torch.ones_like(ids, dtype=torch.bool))[0], scores[i], atol=1e-5
        )


def test_score_position(policy, tokenizer):
    """What stands after EOS moves no score, whether it is pad, EOS or anything else."""
    rollout, scalar = rollout_of(policy, tokenizer), scalar_model_from(policy, seed=0)
    judges = Judges(tokenizer=tokenizer, reward_model=scalar)
    changed = type(rollout)(
        prompt=rollout.prompt,
        mask=rollout.mask,
        logp=rollout.logp,
        ended=rollout.ended,
        tokens=torch.where(rollout.mask, rollout.tokens, 3),
    )
    assert torch.equal(judges.scores(rollout)["proxy"], judges.scores(changed)["proxy"])


def test_gold_sees_prompts_and_responses_without_eos(policy, tokenizer):
    rollout = rollout_of(policy, tokenizer)
    judges = Judges(
        tokenizer=tokenizer, gold=length_gold, others={"other": lambda p, r: [1.0] * len(r)}
    )
    kept = [
        row[mask & (row != tokenizer.eos_token_id)]
        for row, mask in zip(rollout.tokens, rollout.mask, strict=True)
    ]
    assert judges.scores(rollout)["gold"].tolist() == [
        len(tokenizer.decode(ids).split()) for ids in kept
    ]
    assert set(judges.scores(rollout)) == {"gold", "other"}


def test_a_scorer_without_its_judge_says_so(policy, tokenizer):
    rollout, scores = (
        rollout_of(policy, tokenizer),
        {"proxy": torch.ones(8), "gold": torch.zeros(8)},
    )
    assert (
        RewardModelScorer()(rollout, scores) is scores["proxy"]
        and GoldScorer()(rollout, scores) is scores["gold"]
    )
    for scorer in (RewardModelScorer(), GoldScorer()):
        with pytest.raises(ValueError, match="needs"):
            scorer(rollout, Judges(tokenizer=tokenizer).scores(rollout))
