"""Best of n as a policy: which responses are learned, against the exact best-of-n distribution on
problems of 40 responses, and who draws them."""

import signal
from dataclasses import replace
from functools import partial

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.functional.masking import masked_sum
from rlhf.functional.standard_errors import groups_of
from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Reward
from rlhf.kl.reference import SFT
from rlhf.models.policy import PolicyReader
from rlhf.modules.advantage import NoAdvantage, to_experience
from rlhf.modules.algorithms.best_of_n import BestOfN, ExpertIteration, trained_weights, winners
from rlhf.modules.exact import ExactView
from rlhf.modules.parts import (
    CollectedMinibatches,
    EvaluationSettings,
    OnlineParts,
    OnlineSettings,
    PromptSource,
)
from rlhf.modules.trust_region import Unlimited
from rlhf.oracle import best_of_n, bon_kl, exact_sequence_kl
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.score import GoldScorer, Judges
from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_jsonl
from rlhf.types import Minibatch
from tests.conftest import tiny
from tests.ranks.training import train
from tests.turns import engine as engine_of, prompt_batch, stops

SETTINGS = {
    "iterations": 4,
    "minibatch_size": 8,
    "micro_batch_size": None,
    "inner_epochs": 2,
    "policy_clip": 0.2,
    "value_clip": None,
    "value_coef": 0.5,
    "entropy_coef": 0.0,
    "critic_warmup": 0,
    "on_nonfinite": "stop",
    "max_nonfinite": 3,
    "lr_schedule": "constant",
    "lr_warmup": 0.0,
    "responses_per_prompt": 4,
}


def likes_repeats(prompts, responses):
    """With many ties."""
    return [
        float(r.count("a a")) - 0.5 * r.count("b") + 0.3 * len(p)
        for p, r in zip(prompts, responses, strict=True)
    ]


def optimizer(policy, values, lr=1e-2):
    return torch.optim.Adam(policy.parameters(), lr=lr, eps=1e-5)


def make(
    tokenizer,
    algorithm=BestOfN,
    *,
    asked=("a b", "b"),
    double=False,
    tokens=3,
    temperature=1.0,
    aggregation="sequence_sum",
    scorer=None,
    **settings,
):
    """Of each iteration 4 responses to 8 prompts; the reference is the policy of the start."""
    own = {name: settings.pop(name) for name in ("round_iterations",) if name in settings}
    policy, start = tiny(tokenizer), tiny(tokenizer).requires_grad_(False)
    if double:
        policy, start = policy.double(), start.double()
    reader = PolicyReader(model=start, temperature=temperature, at_once=AtOnce(rows=64))
    n = settings.get("responses_per_prompt", SETTINGS["responses_per_prompt"])
    drawn = prompt_batch(tokenizer, [p for p in [*asked] * (8 // len(asked)) for _ in range(n)])
    heldout = prompt_batch(tokenizer, [*asked])
    return algorithm(
        parts=OnlineParts(
            policy=policy,
            value_model=None,
            reference=reader,
            start=reader,
            engine=engine_of(policy, tokenizer),
            judges=Judges(tokenizer=tokenizer, stops=stops(tokenizer), gold=likes_repeats),
            scorer=scorer or GoldScorer(),
            prompts=PromptSource(draw=lambda i: drawn, heldout=heldout, training=lambda: heldout),
            make_optimizer=optimizer,
        ),
        kl=KLPenalty(Fixed(0.0), K1(), Reward(), SFT()),
        trust_region=Unlimited(),
        advantage=NoAdvantage(),
        settings=OnlineSettings(
            **{**SETTINGS, **settings},
            aggregation=aggregation,
            evaluation=EvaluationSettings(every=1, prompts=2, samples=0),
            sampling=Sampling(max_new_tokens=tokens, temperature=temperature),
            seed=0,
        ),
        **own,
    )


@pytest.fixture(scope="module")
def ab():
    from rlhf.data.tokenizers import symbols

    return symbols("ab")


def fitted(module):
    return train(module, CollectedMinibatches(module))


# --- who wins


@pytest.mark.parametrize(
    ("n", "score", "prompts", "rows"),
    [
        (2, [1.0, 3.0, 2.0, 2.0, 0.0, -1.0], "xxyyzz", [1, 2, 4]),  # of equal ones the first
        (3, [5.0, 5.0, 5.0, -1.0, 0.0, 0.0], "xxxyyy", [0, 4]),
        (2, [0.0, 1.0, 3.0, 2.0], "xxxx", [1, 2]),  # drawn twice: two winners
        (2, [9.0, 0.0, 8.0, 1.0], "xyxy", [0, 3]),
        (4, [0.0, 1.0, 7.0, 2.0, 3.0], "xxxyy", [2, 4]),  # some were left out
        (1, [0.0, 0.0], "xx", [0, 1]),
    ],
)
def test_winners_by_hand(n, score, prompts, rows):
    assert winners(torch.tensor(score), groups_of(prompts), n).tolist() == rows


def test_the_winners_alone_are_read_in_the_updates(ab):
    """8 prompts: of 32 responses 8 rows in each of 2 passes, each the best of its prompt."""
    module = make(ab, minibatch_size=4)
    module.policy.eval()
    batches = list(module.collect())
    assert [len(b.experience) for b in batches] == [4] * 4
    assert {b.step_sequences for b in batches} == {4}
    every = module.experience
    best = every.score.view(8, 4).max(1)
    for epoch in (batches[:2], batches[2:]):
        kept = torch.cat([b.experience.score for b in epoch])
        assert sorted(kept.tolist()) == sorted(best.values.tolist())
    assert module.collected["ppo/kept_score"] == pytest.approx(float(best.values.mean()))
    assert module.collected["ppo/score"] == pytest.approx(float(every.score.mean()))
    assert module.steps_an_iteration() == len(batches)


def test_the_loss_is_that_of_sft_on_the_winners(ab):
    module = make(ab, aggregation="token_mean")
    module.policy.eval()
    batch = next(module.collect())
    old = batch.experience
    by_hand = -old.logp[old.mask].mean()  # the policy has drawn them itself
    loss = module.training_step(batch, 0)
    torch.testing.assert_close(loss.detach(), by_hand)


def test_responses_that_the_scorer_punishes_lose(ab):
    """One that never ended wins only where none of its prompt did end."""
    module = make(ab, scorer=GoldScorer(missing_eos="set", missing_eos_value=-100.0))
    module.policy.eval()
    kept = next(module.collect()).experience
    ended = module.experience.rollout.ended
    could = ended.view(8, 4).any(1)
    assert not ended.all() and could.any()
    assert int(kept.rollout.ended.sum()) == int(could.sum())


# --- the exact answer


class Enumerated:
    """Every response to both prompts, and every pair of them with its probability."""

    def __init__(self, ab, **settings):
        settings = {"minibatch_size": 10_000, "inner_epochs": 1, **settings}
        self.module = make(ab, double=True, responses_per_prompt=2, **settings)
        self.module.policy.eval()
        self.view = ExactView(self.module, self.module.parts.prompts.heldout)
        self.logp, self.ref_logp, self.reward = self.view.tables()

    def gradient_by_pairs(self, n=2):
        """Of the module's own loss of the winners that it keeps itself, each weighing the
        probability of its pair."""
        module, view = self.module, self.view
        experience, _ = to_experience(module.score(view.rollout), module.kl, module.advantage)
        prompts, count = self.logp.shape
        pair = torch.cartesian_prod(*[torch.arange(count)] * n)  # [P, 2]
        rows = torch.cat([pair.flatten() + count * x for x in range(prompts)])
        chance = self.logp.exp()[:, pair].prod(-1) / prompts  # [X, P]
        weights = chance.flatten().repeat_interleave(n)
        drawn = experience.rows(rows)
        drawn = replace(drawn, advantages=weights[:, None].expand_as(drawn.logp))
        (batch,) = module.minibatches(drawn)
        assert len(batch.experience) == prompts * len(pair)
        return self.gradient(module.loss(batch, self.weighed(batch.experience.advantages[:, 0])))

    def weighed(self, weights):
        return lambda x, mask: (weights * masked_sum(x, mask, dim=1).double()).sum()

    def cross_entropy(self, target):
        """Of the policy of now to [X, N] log-probabilities, the mean over prompts."""
        per_token = self.module.reader.read(self.view.rollout).logp
        logp = self.view.by_prompt(masked_sum(per_token.double(), self.view.rollout.mask, dim=1))
        return -(target.exp() * logp).sum(1).mean()

    def gradient(self, losses):
        total = getattr(losses, "total", losses)
        parameters = list(self.module.policy.parameters())
        return torch.cat([g.flatten() for g in torch.autograd.grad(total, parameters)])

    def move(self):
        with torch.no_grad():
            for parameter in self.module.policy.parameters():
                parameter.mul_(1.2)


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_expected_gradient_is_that_of_the_cross_entropy_to_best_of_n(ab, moved, temperature):
    """Exactly, ties among the rewards too; later as well, when the policy has left what drew."""
    it = Enumerated(ab, temperature=temperature)
    assert len(it.reward[0].unique()) < 10
    if moved:
        it.move()
    target = best_of_n(it.logp, it.reward, 2)
    true = it.gradient(it.cross_entropy(target))
    off = float((it.gradient_by_pairs() - true).norm() / true.norm())
    assert off < 1e-4


def test_another_n_is_another_gradient(ab):
    it = Enumerated(ab)
    true = it.gradient(it.cross_entropy(best_of_n(it.logp, it.reward, 3)))
    assert float((it.gradient_by_pairs() - true).norm() / true.norm()) > 0.05


def test_the_minimum_is_the_best_of_n_policy_with_its_kl(ab):
    """By exact descent of the expected loss, best of 4; with ties its KL is below the formula."""
    it = Enumerated(ab, asked=("a b", "b a"), tokens=2)
    target = best_of_n(it.logp, it.reward, 4)
    rows, prompts = it.view.rollout, len(it.reward)
    experience, _ = to_experience(it.module.score(rows), it.module.kl, it.module.advantage)
    batch = Minibatch(
        experience=experience, step_tokens=1, step_sequences=len(experience), splits=1
    )
    reduce = it.weighed((target.exp() / prompts).flatten())
    descent = torch.optim.LBFGS(
        it.module.policy.parameters(), max_iter=200, line_search_fn="strong_wolfe"
    )

    def closure():
        descent.zero_grad()
        loss = it.module.loss(batch, reduce).total
        loss.backward()
        return loss

    descent.step(closure)
    logp, ref_logp, _ = it.view.tables()
    assert float(exact_sequence_kl(target, logp).max()) < 1e-5
    true = exact_sequence_kl(target, ref_logp)
    torch.testing.assert_close(exact_sequence_kl(logp, ref_logp), true, atol=1e-3, rtol=0)
    assert float(true.max()) < bon_kl(4)


# --- who draws


def test_all_of_a_run_draws_from_the_policy_that_it_began_with(ab):
    module = make(ab)
    before = trained_weights(module.policy)
    rows = fitted(module)["rows"]
    assert [row["rollout/behind"] for row in rows] == [0, 1, 2, 3]
    assert [row["kl/sequence_nats"] for row in rows] == pytest.approx([0.0] * 4, abs=1e-5)
    assert all(row["eval/kl/sequence_nats_exact"] > 0.01 for row in rows)
    assert all(torch.equal(module.drawer[name], before[name]) for name in before)
    assert [{"trust_region/kl", "rollout/logp_gap"} & row.keys() for row in rows] == [
        {"rollout/logp_gap"},
        *[set()] * 3,
    ]


def test_a_round_draws_from_the_policy_that_it_began_with(ab):
    module = make(ab, ExpertIteration, round_iterations=2)
    drew = []
    score = module.score
    module.score = lambda rollout: drew.append(trained_weights(module.policy)) or score(rollout)
    rows = fitted(module)["rows"]
    assert [row["rollout/behind"] for row in rows] == [0, 1, 0, 1]
    at_start = [abs(row["kl/sequence_nats"]) < 1e-5 for row in rows]
    assert at_start == [True, True, False, False]
    same = [all(torch.equal(a[n], b[n]) for n in a) for a, b in zip(drew, drew[1:], strict=False)]
    assert same == [True, False, True]


def test_a_round_of_all_iterations_is_best_of_n_and_one_of_one_draws_itself(ab):
    weights = [
        fitted(make(ab, *kind))["weights"]
        for kind in ((), (partial(ExpertIteration, round_iterations=9),))
    ]
    assert torch.equal(*weights)
    rows = fitted(make(ab, ExpertIteration, round_iterations=1))["rows"]
    assert {row["rollout/behind"] for row in rows} == {0.0}
    with pytest.raises(ValueError, match="round_iterations must be at least 1, got 0"):
        make(ab, ExpertIteration, round_iterations=0)


def test_the_policy_has_its_weights_back_where_drawing_fails(ab):
    module = make(ab)
    module.iteration = 1
    with torch.no_grad():
        next(module.policy.parameters()).add_(1.0)
    own = trained_weights(module.policy)
    with pytest.raises(RuntimeError, match="no"), module.drawing():
        assert not torch.equal(next(module.policy.parameters()), [*own.values()][0])
        raise RuntimeError("no")
    back = trained_weights(module.policy)
    assert all(torch.equal(back[name], own[name]) for name in own)


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_sum", "sequence_mean"])
def test_no_gradient_depends_on_the_split(ab, aggregation):
    def gradient(**split):
        module = make(ab, aggregation=aggregation, **split)
        module.policy.eval()
        collected = module.collect()
        first = next(collected)
        for batch in [first, *(next(collected) for _ in range(first.splits - 1))]:
            (module.training_step(batch, 0) / batch.splits).backward()
        return torch.cat([p.grad.flatten() for p in module.parameters()]), first.splits

    whole, one = gradient()
    for split in ({"micro_batch_size": 3}, {"micro_batch_tokens": 11}):
        parts, splits = gradient(**split)
        assert one == 1 and splits > 1
        torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-4)


# --- whole runs

RUN = ["scorer=gold", "ppo.responses_per_prompt=4"]
RUNS = {
    "best_of_n": ["algorithm=best_of_n"],
    "rounds": ["algorithm=expert_iteration", "algorithm.round_iterations=2"],
    "adapter": [
        *("algorithm=expert_iteration", "algorithm.round_iterations=2"),
        "model/adapter=lora",
    ],
    "bf16": [
        *("algorithm=expert_iteration", "algorithm.round_iterations=2"),
        "trainer.precision=bf16-true",
    ],
}


@pytest.mark.parametrize(
    "name",
    [
        "rounds",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("best_of_n", "adapter", "bf16")),
    ],
)
def test_a_run_resumes_to_the_same_bytes(run_in, stop_at, tmp_path, name):
    """Cut in the middle of its second round."""
    words = [*RUN, *RUNS[name]]
    summary = run_in(tmp_path / "whole", *words)
    assert summary["status"] == "finished" and "kl/sequence_nats" in summary
    stop_at("ppo", 3, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "cut", *words)
    assert len(read_jsonl(tmp_path / "cut" / "metrics.jsonl")) == 4
    run_in(tmp_path / "cut", *words)
    policy = next((tmp_path / "whole" / "policy").glob("*.safetensors")).name
    for file in ("metrics.jsonl", "samples.jsonl", f"policy/{policy}"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    rows = read_jsonl(tmp_path / "whole" / "metrics.jsonl")[1:]
    behind = [0, 1, 2, 3] if name == "best_of_n" else [0, 1, 0, 1]
    assert [row["rollout/behind"] for row in rows] == behind
    assert rows[-1]["eval/kl/sequence_nats_exact"] > 0
