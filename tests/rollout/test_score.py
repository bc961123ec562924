from dataclasses import replace

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.models.load import scalar_model_from
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling, decode
from rlhf.rollout.score import (
    GoldScorer,
    Judges,
    Responses,
    RewardModelScorer,
    Scorer,
    missing_eos,
    score_by,
)
from rlhf.rundir.errors import RunFailed
from tests.turns import engine as engine_of, prompt_batch, stops


def length_gold(prompts, responses):
    return [float(len(r.split())) for r in responses]


def rollout_of(policy, tokenizer):
    engine = engine_of(policy, tokenizer)
    prompts = prompt_batch(tokenizer, ["a b", "c"] * 4)
    return engine.respond(prompts, Sampling(max_new_tokens=6), generator(0, "score"))


def test_missing_eos():
    """set: score := value; subtract: score -= value; both only where no EOS came."""
    score, ended = torch.tensor([2.0, 3.0]), torch.tensor([True, False])
    assert missing_eos(score, ended, "none", -1.0).tolist() == [2.0, 3.0]
    assert missing_eos(score, ended, "set", -1.0).tolist() == [2.0, -1.0]
    assert missing_eos(score, ended, "subtract", 1.0).tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match="subtract"):
        missing_eos(score, ended, "substract", 1.0)


def test_reward_clip():
    assert GoldScorer(reward_clip=5.0).clip(torch.tensor([-7.0, 0.5, 7.0])).tolist() == [
        -5.0,
        0.5,
        5.0,
    ]
    assert GoldScorer().clip(torch.tensor([-7.0])).tolist() == [-7.0]


def test_the_reward_model_scores_whole_rows_at_their_last_token(policy, tokenizer):
    rollout, scalar = rollout_of(policy, tokenizer), scalar_model_from(policy, seed=0)
    scores = (
        Judges(tokenizer=tokenizer, stops=stops(tokenizer), reward_model=scalar)
        .read(rollout)
        .scores["proxy"]
    )
    for i in range(len(scores)):
        ids = torch.cat(
            [rollout.prompt.tokens[i][rollout.prompt.mask[i]], rollout.tokens[i][rollout.mask[i]]]
        )[None]
        assert torch.allclose(
            scalar.score(ids, torch.ones_like(ids, dtype=torch.bool))[0], scores[i], atol=1e-5
        )


@pytest.mark.parametrize("limit", [{"rows": 1}, {"rows": 2}, {"tokens": 12}])
def test_accum_invariance_of_the_reward_models_reading(policy, tokenizer, limit):
    rollout, scalar = rollout_of(policy, tokenizer), scalar_model_from(policy, seed=0)
    judges = Judges(tokenizer=tokenizer, stops=stops(tokenizer), reward_model=scalar)
    passes = []
    scalar.model.base_model.register_forward_pre_hook(
        lambda module, given, named: passes.append(named["input_ids"].numel()), with_kwargs=True
    )
    whole = judges.read(rollout).scores["proxy"]
    split = replace(judges, at_once=AtOnce(**limit)).read(rollout).scores["proxy"]
    assert torch.allclose(split, whole, atol=1e-5)
    assert len(passes) > 2 and max(passes[1:]) <= limit.get("tokens", passes[0] - 1)


def test_score_position(policy, tokenizer):
    """What stands after EOS moves no score, whether it is pad, EOS or anything else."""
    rollout, scalar = rollout_of(policy, tokenizer), scalar_model_from(policy, seed=0)
    judges = Judges(tokenizer=tokenizer, stops=stops(tokenizer), reward_model=scalar)
    changed = type(rollout)(
        prompt=rollout.prompt,
        mask=rollout.mask,
        logp=rollout.logp,
        ended=rollout.ended,
        tokens=torch.where(rollout.mask, rollout.tokens, 3),
    )
    assert torch.equal(judges.read(rollout).scores["proxy"], judges.read(changed).scores["proxy"])


def test_gold_sees_prompts_and_responses_without_eos(policy, tokenizer):
    rollout = rollout_of(policy, tokenizer)
    judges = Judges(
        tokenizer=tokenizer,
        stops=stops(tokenizer),
        gold=length_gold,
        others={"other": lambda p, r: [1.0] * len(r)},
    )
    kept = [
        row[mask & (row != tokenizer.eos_token_id)]
        for row, mask in zip(rollout.tokens, rollout.mask, strict=True)
    ]
    assert judges.read(rollout).scores["gold"].tolist() == [
        len(tokenizer.decode(ids).split()) for ids in kept
    ]
    assert set(judges.read(rollout).scores) == {"gold", "other"}


def test_a_scorer_without_its_judge_says_so(policy, tokenizer):
    rollout = rollout_of(policy, tokenizer)
    scores = {"proxy": torch.ones(8), "gold": torch.zeros(8)}
    responses = Responses(
        rollout=rollout, tokenizer=tokenizer, stops=stops(tokenizer), scores=scores
    )
    assert RewardModelScorer()(responses) is scores["proxy"]
    assert GoldScorer()(responses) is scores["gold"]
    for scorer in (RewardModelScorer(), GoldScorer()):
        with pytest.raises(ValueError, match="needs"):
            scorer(Judges(tokenizer=tokenizer, stops=stops(tokenizer)).read(rollout))


class Wordy(Scorer):
    """A scorer of one's own, by ids and texts: words of prompt and response, less the tokens."""

    def score(self, responses):
        words = [
            len(f"{p} {r}".split()) for p, r in zip(responses.prompts, responses.texts, strict=True)
        ]
        return torch.tensor(words) - responses.rollout.mask.sum(1).float()


def test_a_scorer_sees_texts_and_ids_and_has_the_rules(policy, tokenizer):
    rollout = rollout_of(policy, tokenizer)
    responses = Judges(tokenizer=tokenizer, stops=stops(tokenizer)).read(rollout)
    texts = decode(rollout, tokenizer, stops(tokenizer))
    assert responses.texts == texts and responses.texts is responses.texts  # decoded once
    plain = Wordy()(responses)
    by_hand = [
        len(prompt.split()) + len(text.split()) - int(mask.sum())
        for prompt, text, mask in zip(rollout.prompt.texts, texts, rollout.mask, strict=True)
    ]
    assert plain.tolist() == by_hand
    ruled = Wordy("set", -9.0)(responses)
    assert torch.equal(ruled, plain.where(rollout.ended, torch.tensor(-9.0)))
    assert not Wordy.needs_reward_model and not Wordy.needs_gold


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"missing_eos": "set"}, "missing_eos=set needs a number"),
        ({"reward_clip": 0.0}, "reward_clip must be a finite number above 0"),
    ],
)
def test_a_scorer_refuses_what_the_config_refuses(rules, reason):
    with pytest.raises(ValueError, match=reason):
        GoldScorer(**rules)


@pytest.mark.parametrize(
    "scores", [torch.arange(8), torch.arange(8.0).double().requires_grad_(), list(range(8))]
)
def test_a_scorer_of_ones_own_may_give_any_kind_of_number(policy, tokenizer, scores):
    responses = Judges(tokenizer=tokenizer, stops=stops(tokenizer)).read(
        rollout_of(policy, tokenizer)
    )
    given = score_by(lambda responses: scores, responses)
    assert given.dtype == torch.float32 and not given.requires_grad
    assert given.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("shape", [(), (7,), (8, 1)])
def test_anything_but_one_number_a_response_is_refused(policy, tokenizer, shape):
    rollout = rollout_of(policy, tokenizer)
    responses = Judges(tokenizer=tokenizer, stops=stops(tokenizer)).read(rollout)
    with pytest.raises(RunFailed, match=r"the scorer gave .* for 8 responses: expected one each"):
        score_by(lambda responses: torch.zeros(shape), responses)
    with pytest.raises(RunFailed, match="the judge gold gave numbers of the shape"):
        judge = torch.zeros(shape).tolist()
        Judges(tokenizer=tokenizer, stops=stops(tokenizer), gold=lambda prompts, texts: judge).read(
            rollout
        )
