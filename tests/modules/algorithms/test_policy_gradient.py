"""REINFORCE, RLOO and GRPO's family: their expected first gradients beside exact ones, and whole
runs of their presets."""

import signal
from dataclasses import replace
from functools import partial

import pytest
import torch

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.config.stages import STAGES
from rlhf.data.records import Loaded
from rlhf.functional.masking import masked_sum
from rlhf.kl.estimator import K1, K2, K3, Exact
from rlhf.kl.placement import Both, Loss, LossWithoutRatio, Reward, SequenceLoss
from rlhf.modules.advantage import GroupRelative, LeaveOneOut, Return
from rlhf.modules.algorithms.policy_gradient import GRPO, RLOO, Reinforce
from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_jsonl
from rlhf.runs.summary import tracked_as
from rlhf.stages.context import StageContext
from tests.conftest import SMALL
from tests.modules.algorithms.test_ppo import first_step, gradients, make as make_trained, train
from tests.modules.test_exact import angle, make, relative_error

PRESETS = ["reinforce", "rloo", "grpo", "dr_grpo", "dapo"]
PLAIN = {"ratio": "none", "clip_high": None}
CLIPPED = {"ratio": "clipped", "clip_high": 0.28}
J_OF_KL = [(K1(), Reward()), (Exact(), Both()), (K2(), SequenceLoss())]


def of(advantage, *pieces, algorithm=RLOO, how=PLAIN, **settings):
    return make(*pieces, algorithm=partial(algorithm, **how), advantage=advantage, **settings)


# --- the expected first gradient


@pytest.mark.parametrize("credit", ["sequence", "reward_to_go"])
@pytest.mark.parametrize("how", [PLAIN, CLIPPED], ids=["plain", "clipped"])
def test_reinforce_ascends_the_objective(credit, how):
    """Whole returns and rewards to go: what came before a token is independent of it."""
    advantage = Return(credit=credit, baseline="none")
    for pieces in J_OF_KL:
        _, view = of(advantage, *pieces, algorithm=Reinforce, how=how)
        assert relative_error(view.loss_gradient(), -view.objective_gradient()) < 1e-4


@pytest.mark.parametrize("how", [PLAIN, CLIPPED], ids=["plain", "clipped"])
@pytest.mark.parametrize("pieces", J_OF_KL, ids=["k1", "exact", "k2"])
def test_rloo_ascends_the_objective(pieces, how):
    _, view = of(LeaveOneOut(), *pieces, how=how)
    assert relative_error(view.loss_gradient(), -view.objective_gradient()) < 1e-4


def test_dr_grpo_ascends_half_the_objective_with_two_responses():
    """(k - 1) / k of it, the KL in the reward with it; in the preset's aggregation over the 3
    tokens that a response may have."""
    advantage = GroupRelative(std=False, scale_kl=False)
    _, view = of(advantage, K1(), Reward(), algorithm=GRPO, how=CLIPPED)
    true = -view.objective_gradient()
    assert relative_error(2 * view.loss_gradient(), true) < 1e-4
    _, view = of(advantage, algorithm=GRPO, how=CLIPPED, aggregation="fixed_length")
    assert relative_error(2 * 3 * view.loss_gradient(), true) < 1e-4


def by_response(view, x):
    """sum_y pi(y) sum_t x_t grad logp_t, a mean over prompts: x [X * N, T] -> [P]."""
    rows = view.rollout
    logp = view.module.reader.read(rows).logp.double()
    total = view.by_prompt(masked_sum(logp.detach(), rows.mask, dim=1)).exp().flatten()
    value = (total * masked_sum(x.double() * logp, rows.mask, dim=1)).sum() / len(view.prompts)
    return view._gradient(value)


def win_rates(view):
    """[X * N]: the probability that each response scores above one of the policy's, ties half."""
    logp, _, reward = view.tables()
    gaps = reward.unsqueeze(-1) - reward.unsqueeze(1)
    wins = (gaps > 1e-6).double() + 0.5 * (gaps.abs() <= 1e-6)
    return (wins * logp.exp().unsqueeze(1)).sum(-1).flatten()


def test_grpo_as_published_ascends_the_win_rate_less_a_forward_kl():
    """With std and two responses the advantage of the better one is 1/sqrt(2), of the other
    -1/sqrt(2): sqrt(2) (win - 1/2) of an expectation, so what it ascends is sqrt(2) times the
    probability to beat the policy that drew, and no reward. k3 in the loss descends the forward KL
    of each token: E[sum_t (1 - ref/pi) grad logp_t]. Each over its response's length."""
    advantage, coef = GroupRelative(std=True, scale_kl=False), 0.3
    pieces = K3(), LossWithoutRatio()
    for aggregation in ("sequence_sum", "sequence_mean"):
        module, view = of(
            advantage, *pieces, algorithm=GRPO, how=CLIPPED, coef=coef, aggregation=aggregation
        )
        scored, mask = module.score(view.rollout), view.rollout.mask
        share = 1.0 if aggregation == "sequence_sum" else 1 / mask.sum(1, keepdim=True)
        won = 2**0.5 * (win_rates(view) - 0.5).unsqueeze(-1) * share
        kl = (1 - (scored.ref_logp - scored.logp).exp()) * share
        true = by_response(view, coef * kl - won * torch.ones_like(kl))
        assert relative_error(view.loss_gradient(), true) < 1e-4
        assert angle(true, -view.objective_gradient()) > 0.5


def test_the_ratio_in_the_loss_changes_no_first_gradient():
    """rho is 1 there; what it weighs are later steps."""
    advantage = GroupRelative(std=True, scale_kl=False)
    one, other = (of(advantage, K3(), place())[1] for place in (Loss, LossWithoutRatio))
    torch.testing.assert_close(one.loss_gradient(), other.loss_gradient())


def test_a_rollouts_mean_takes_its_share_of_the_gradient():
    """Of two responses to one prompt: E[A | y] = R - (R + J) / 2, so half the gradient."""
    _, view = of(Return(credit="sequence", baseline="none"), coef=0.0)
    logp, _, reward = view.tables()
    piece = Return(credit="sequence", baseline="mean")
    for prompt in range(2):
        given = torch.zeros(40)
        for i in range(40):
            for j, p in enumerate(logp[prompt].exp()):
                pair = torch.stack([reward[prompt, i], reward[prompt, j]]).unsqueeze(1)
                groups, mask = torch.tensor([0, 0]), torch.ones(2, 1, dtype=torch.bool)
                given[i] += p * piece(pair, None, mask, groups).advantages[0, 0]
        mean = (logp[prompt].exp() * reward[prompt]).sum()
        torch.testing.assert_close(given.double(), (reward[prompt] - mean) / 2, atol=1e-5, rtol=0)


def test_the_rollouts_mean_has_no_expected_gradient_of_one_response():
    _, view = of(Return(credit="sequence", baseline="mean"))
    with pytest.raises(ValueError, match=r"advantage.baseline=none"):
        view.loss_gradient()


# --- the presets


@pytest.mark.parametrize("preset", PRESETS)
def test_the_gradient_of_a_step_is_the_same_for_any_split(tokenizer, preset):
    cfg = compose([f"algorithm={preset}"])

    def made(micro):
        return make_trained(
            tokenizer,
            algorithm=partial(build, cfg.algorithm),
            advantage=build(cfg.advantage),
            aggregation=cfg.ppo.aggregation,
            micro_batch_size=micro,
            valued=False,
            reference_seed=1,
        )

    whole = made(None)
    expected = gradients(whole, first_step(whole))
    assert expected.norm() > 0
    for micro in (3, 1):
        module = made(micro)
        steps = first_step(module)
        assert len(steps) > 1
        torch.testing.assert_close(gradients(module, steps), expected, atol=1e-5, rtol=1e-4)


RUN = ["ppo.rollout_size=16", "ppo.minibatch_size=8", "scorer=gold"]


@pytest.mark.parametrize("preset", PRESETS)
def test_it_runs_without_value_model_and_resumes_to_the_same_bytes(
    run_in, stop_at, tmp_path, preset
):
    lines = [f"algorithm={preset}", *RUN]
    whole = run_in(tmp_path / "whole", *lines)
    stop_at("ppo", 2, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "cut", *lines)
    run_in(tmp_path / "cut", *lines)
    for file in ("metrics.jsonl", "samples.jsonl", "policy/model.safetensors"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    rows = read_jsonl(tmp_path / "whole" / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == [0, 1, 2, 3, 4]
    assert not [name for row in rows for name in row if "value" in name or "variance" in name]
    assert ("ppo/clip_fraction" in rows[-1]) == (preset not in ("reinforce", "rloo"))
    assert whole["status"] == "finished" and {"reward/gold", "kl/sequence_nats"} <= whole.keys()


def test_the_responses_of_a_prompt_are_one_group(run_in, tmp_path, monkeypatch):
    """4 to each of 4 prompts: the leave-one-out advantages of a group add up to 0 over its
    responses."""
    kept = []
    original = LeaveOneOut.__call__

    def seen(piece, rewards, values, mask, groups):
        given = original(piece, rewards, values, mask, groups)
        kept.append((groups, given.advantages[:, 0]))
        return given

    monkeypatch.setattr(LeaveOneOut, "__call__", seen)
    run_in(tmp_path / "run", "algorithm=rloo", *RUN, "ppo.iterations=1")
    (groups, advantages), *_ = kept
    sizes = torch.bincount(groups)
    assert int(sizes.sum()) == 16 and all(size % 4 == 0 for size in sizes.tolist())
    sums = torch.zeros(len(sizes)).index_add_(0, groups, advantages)
    torch.testing.assert_close(sums, torch.zeros(len(sizes)), atol=1e-5, rtol=0)
    assert advantages.abs().max() > 0


def test_mlflow_has_the_algorithms_name(tmp_path):
    cfg = validate(compose([*SMALL, "algorithm=rloo", *RUN]))
    loaded = Loaded.of(build(cfg.data))
    context = StageContext(cfg=cfg, **loaded._asdict(), run_directory=tmp_path)
    shown = tracked_as(context, STAGES["ppo"], {})
    assert shown["name"] == "rloo kl.coef=0.05 seed=0"
    assert shown["tags"]["algorithm"] == shown["params"]["algorithm"] == "rloo"


def test_messages_have_the_algorithms_name(tokenizer):
    module = make_trained(
        tokenizer, algorithm=partial(RLOO, **PLAIN), valued=False, advantage=LeaveOneOut()
    )
    assert module.where(1) == "ppo, iteration 1"
    module.title = "rloo"
    assert module.where(1) == "rloo, iteration 1"


def test_a_pass_without_ratio_and_one_with_it_start_alike_and_part(tokenizer):
    """The first step has one gradient; a second one on the same rollout does not."""
    ends = []
    for how in (PLAIN, {"ratio": "clipped", "clip_high": None}):
        module = make_trained(
            tokenizer,
            algorithm=partial(RLOO, **how),
            valued=False,
            advantage=LeaveOneOut(),
            iterations=1,
            inner_epochs=1,
            minibatch_size=16,
            lr=1e-2,
        )
        twice = make_trained(
            tokenizer,
            algorithm=partial(RLOO, **how),
            valued=False,
            advantage=LeaveOneOut(),
            iterations=1,
            inner_epochs=4,
            minibatch_size=16,
            lr=3e-2,
        )
        ends.append(
            [
                torch.nn.utils.parameters_to_vector(train(m).policy.parameters())
                for m in (module, twice)
            ]
        )
    torch.testing.assert_close(ends[0][0], ends[1][0], atol=1e-4, rtol=0)
    assert (ends[0][1] - ends[1][1]).abs().max() > 1e-3


def test_scale_kl_brings_the_coefficient_to_the_rewards_unit():
    """Returns 1, 4 and 2, 5, 11: the pooled std is sqrt(15.5)."""
    rewards = torch.tensor([[1.0], [4.0], [2.0], [5.0], [11.0]])
    groups, mask = torch.tensor([0, 0, 1, 1, 1]), torch.ones(5, 1, dtype=torch.bool)
    piece = GroupRelative(std=True, scale_kl=False)
    assert piece(rewards, None, mask, groups).reward_unit == 1.0
    scaled = replace(piece, scale_kl=True)(rewards, None, mask, groups)
    assert scaled.reward_unit == pytest.approx(15.5**-0.5)
    assert replace(piece, std=False)(rewards, None, mask, groups).reward_unit == 1.0
