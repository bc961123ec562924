"""PPO-ptx: the demonstrations of a step, its expected gradient beside the exact one, whole runs."""

import signal
from functools import partial

import pytest
import torch

from rlhf.config.compose import ConfigError, compose, validate
from rlhf.data.collate import Encoded, collate_demonstrations
from rlhf.data.tokenizers import symbols
from rlhf.kl.estimator import K1, Exact
from rlhf.kl.placement import Both, Reward
from rlhf.models.policy import response_logits
from rlhf.modules.algorithms.ppo_ptx import PPOPtx
from rlhf.modules.parts import Rows
from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_jsonl
from tests.modules.algorithms.test_ppo import first_step, gradients, make as make_trained
from tests.modules.test_exact import make, relative_error


def rows(tokenizer, texts):
    """Demonstrations whose prompt is their first token."""
    ids = [tuple(tokenizer(text).input_ids) + (tokenizer.eos_token_id,) for text in texts]
    encoded = [
        Encoded(
            ids=i,
            answers=((1, len(i)),),
            prompt_length=1,
            fate="whole",
            whole=len(i),
            whole_prompt=1,
        )
        for i in ids
    ]
    collate = partial(collate_demonstrations, fill=tokenizer.pad_token_id, train_on_prompt=False)
    return Rows(train=encoded, heldout=encoded[:1], collate=collate, tokens=lambda row: row.whole)


@pytest.mark.parametrize("pieces", [(K1(), Reward()), (Exact(), Both())], ids=["k1", "exact"])
def test_it_ascends_the_objective_and_the_likelihood_of_demonstrations(pieces):
    """gamma times the mean of log pi over 3 + 2 tokens of two answers, token by token."""
    shown, coef = rows(symbols("ab"), ["b a a", "a b"]), 0.7
    algorithm = partial(PPOPtx, ptx_coef=coef)
    module, view = make(*pieces, algorithm=algorithm, demonstrations=shown)
    logp = []
    for row in shown.train:
        ids = torch.tensor([row.ids])
        whole = torch.ones_like(ids, dtype=torch.bool)
        logits = response_logits(module.policy, ids, whole, len(row.ids) - 1)
        logp.append(logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).flatten())
    assert [len(each) for each in logp] == [3, 2]
    true = -view.objective_gradient() - coef * view._gradient(torch.cat(logp).mean())
    assert relative_error(view.loss_gradient(), true) < 1e-4


LETTERS = ["a b c", "b", "c d", "d e f g", "e a", "f", "g h a b c", "h d", "a", "b b b"]


def of(tokenizer, **settings):
    algorithm = partial(PPOPtx, ptx_coef=0.5)
    shown = rows(tokenizer, LETTERS)
    return make_trained(
        tokenizer, algorithm=algorithm, demonstrations=shown, rollout_size=16, **settings
    )


@pytest.mark.parametrize("minibatch", [8, 5])
def test_the_gradient_of_a_step_is_the_same_for_any_split(tokenizer, minibatch):
    """Of more micro-batches than demonstrations too."""
    whole = of(tokenizer, minibatch_size=minibatch)
    expected = gradients(whole, first_step(whole))
    without = make_trained(tokenizer, minibatch_size=minibatch)
    assert (gradients(without, first_step(without)) - expected).norm() > 0.01
    for micro in (3, 1):
        module = of(tokenizer, micro_batch_size=micro, minibatch_size=minibatch)
        steps = first_step(module)
        assert len(steps) > 1
        torch.testing.assert_close(gradients(module, steps), expected, atol=1e-5, rtol=1e-4)


def test_demonstrations_follow_from_seed_and_iteration(tokenizer):
    """10 rows, 32 an iteration: the first ten are a permutation, as the next ten are; whatever was
    drawn before, iteration 2 has the same ones."""

    def drawn(module):
        return [
            tuple(ids[mask].tolist())
            for batch in module.collect()
            for ids, mask in zip(
                batch.demonstrations.tokens, batch.demonstrations.attention, strict=True
            )
        ]

    module = of(tokenizer)
    first = drawn(module)
    assert len(first) == 32 and len({*first[:10]}) == len({*first[10:20]}) == 10
    assert first[:10] != first[10:20]
    module.iteration = 1
    second = drawn(module)
    other = of(tokenizer, micro_batch_size=None)
    other.iteration = 1
    assert drawn(other) == second and second[2:8] != first[2:8]


def test_a_warm_up_of_the_critic_learns_no_demonstration(tokenizer):
    module = of(tokenizer, critic_warmup=1)
    step = first_step(module)[0]
    module.training_step(step, 0).backward()
    assert all(p.grad is None or not p.grad.any() for p in module.policy.parameters())


def test_it_runs_and_resumes_to_the_same_bytes(run_in, stop_at, tmp_path):
    lines = ["algorithm=ppo_ptx", "scorer=gold"]
    run_in(tmp_path / "whole", *lines)
    stop_at("ppo", 2, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "cut", *lines)
    run_in(tmp_path / "cut", *lines)
    for file in ("metrics.jsonl", "samples.jsonl", "policy/model.safetensors"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    last = read_jsonl(tmp_path / "whole" / "metrics.jsonl")[-1]
    assert last["ppo/ptx_loss"] > 0 and last["ppo/value_loss"] > 0


def test_without_demonstrations_it_is_refused(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="there are none"):
        make_trained(tokenizer, algorithm=partial(PPOPtx, ptx_coef=0.5))
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    with pytest.raises(ConfigError, match="demonstrations"):
        validate(
            compose(
                [
                    *("algorithm=ppo_ptx", "data=files", "sft=none", "scorer=vader"),
                    *(f"data.prompts={tmp_path / 'prompts.jsonl'}", "ppo.value_init=policy"),
                    *("data.demonstrations=null", "data.gold=vader"),
                ]
            )
        )
