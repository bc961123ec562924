"""Quark: quantiles and the pool by hand, the loss beside one that is put together here, gradient
and minimum over the population of a problem that can be listed, and whole runs."""

import math
import signal

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.functional.masking import masked_sum
from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Reward
from rlhf.kl.reference import SFT
from rlhf.models.policy import PolicyReader
from rlhf.modules.advantage import NoAdvantage
from rlhf.modules.algorithms.quark import Pool, Quark, quantiles
from rlhf.modules.exact import ExactView
from rlhf.modules.parts import (
    CollectedMinibatches,
    EvaluationSettings,
    OnlineParts,
    OnlineSettings,
    PromptSource,
)
from rlhf.modules.trust_region import Unlimited
from rlhf.oracle import exact_sequence_kl
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.score import GoldScorer, Judges
from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_jsonl
from rlhf.types import Experience, Minibatch, PromptBatch, Rollout
from tests.conftest import tiny
from tests.modules.algorithms.test_best_of_n import SETTINGS, likes_repeats, optimizer
from tests.ranks.training import train
from tests.turns import engine as engine_of, prompt_batch, stops


def likes_a(prompts, responses):
    return [r.count("a") + 0.5 * r.endswith("b") for r in responses]


def make(
    tokenizer,
    *,
    architecture="llama",
    gold=likes_repeats,
    asked=("a b", "b"),
    double=False,
    tokens=3,
    coef=0.1,
    reference_seed=0,
    quantiles=3,
    learns="all",
    pool_iterations=None,
    aggregation="token_mean",
    temperature=1.0,
    **settings,
):
    """Of each iteration 4 responses to 8 prompts."""
    policy = tiny(tokenizer, architecture)
    start = tiny(tokenizer, architecture, seed=reference_seed).requires_grad_(False)
    if double:
        policy, start = policy.double(), start.double()
    reader = PolicyReader(model=start, temperature=temperature, at_once=AtOnce(rows=64))
    drawn = prompt_batch(tokenizer, [p for p in [*asked] * (8 // len(asked)) for _ in range(4)])
    heldout = prompt_batch(tokenizer, [*asked])
    module = Quark(
        quantiles=quantiles,
        learns=learns,
        pool_iterations=pool_iterations,
        parts=OnlineParts(
            policy=policy,
            value_model=None,
            reference=reader,
            start=reader,
            engine=engine_of(policy, tokenizer),
            judges=Judges(tokenizer=tokenizer, stops=stops(tokenizer), gold=gold),
            scorer=GoldScorer(),
            prompts=PromptSource(draw=lambda i: drawn, heldout=heldout, training=lambda: heldout),
            make_optimizer=optimizer,
        ),
        kl=KLPenalty(Fixed(coef), K1(), Reward(), SFT()),
        trust_region=Unlimited(),
        advantage=NoAdvantage(),
        settings=OnlineSettings(
            **{**SETTINGS, **settings},
            aggregation=aggregation,
            evaluation=EvaluationSettings(every=1, prompts=2, samples=0),
            sampling=Sampling(max_new_tokens=tokens, temperature=temperature),
            seed=0,
        ),
    )
    if double and module.control is not None:
        module.control.data = module.control.data.double()
    return module


@pytest.fixture(scope="module")
def ab():
    from rlhf.data.tokenizers import symbols

    return symbols("ab")


# --- quantiles, and the pool


@pytest.mark.parametrize(
    ("score", "count", "places"),
    [
        ([0.3, -1.0, 2.0, 0.5], 2, [0, 0, 1, 1]),
        ([5.0, 4.0, 3.0, 2.0, 1.0, 0.0], 3, [2, 2, 1, 1, 0, 0]),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 3, [0, 0, 1, 1, 2]),  # 0, 0.6, 1.2, 1.8, 2.4
        ([0.0, 1.0, 1.0, 1.0], 2, [0, 1, 1, 1]),  # equal ones are together,
        ([0.0, 0.0, 0.0, 1.0], 4, [0, 0, 0, 3]),  # with the lowest of their ranks,
        ([0.0, 0.0, 1.0, 1.0], 5, [0, 0, 4, 4]),  # but the largest are the best
        ([7.0, 7.0, 7.0], 3, [2, 2, 2]),
        ([7.0], 2, [1]),
    ],
)
def test_quantiles_by_hand(score, count, places):
    assert quantiles(torch.tensor(score), count).tolist() == places


def test_quantiles_without_ties_are_parts_of_equal_size():
    score = torch.randn(503, generator=torch.Generator().manual_seed(0))
    place = quantiles(score, 5)
    assert torch.bincount(place).tolist() in ([101, 101, 100, 101, 100], [101, 101, 101, 100, 100])
    ordered = place[score.argsort()]
    assert (ordered.diff() >= 0).all()


def experience(prompts, responses, scores):
    """Of ids, padded as a rollout is."""
    from rlhf.data.collate import pad
    from rlhf.data.conversations import Prompt

    tokens, mask = pad(prompts, 9, side="left")
    prompt = PromptBatch(tokens=tokens, mask=mask, prompts=(Prompt(turns=()),) * len(prompts))
    tokens, mask = pad(responses, 9)
    none = torch.zeros(mask.shape)
    ended = torch.ones(len(prompts), dtype=torch.bool)
    return Experience(
        rollout=Rollout(prompt=prompt, tokens=tokens, mask=mask, logp=none, ended=ended),
        logp=none,
        ref_logp=none,
        score=torch.tensor(scores),
        values=None,
        advantages=none,
        returns=None,
        reward_unit=1.0,
    )


def listed(pool):
    rows = zip(pool.prompts, pool.responses, pool.scores, strict=True)
    return [(p.tolist(), r.tolist(), score) for p, r, score in rows]


def test_a_pool_keeps_the_last_iterations_and_comes_back_from_its_state():
    pool = Pool(rounds=2)
    pool.add(experience([[1, 2], [3]], [[4], [5, 6]], [0.1, -1.0]))
    pool.add(experience([[7]], [[8, 2]], [3.0]))
    both = listed(pool)
    assert [row[:2] for row in both] == [([1, 2], [4]), ([3], [5, 6]), ([7], [8, 2])]
    assert [row[2] for row in both] == pytest.approx([0.1, -1.0, 3.0])
    other = Pool(rounds=2)
    other.load(pool.state())
    assert listed(other) == both and other.sizes == [2, 1]
    for each in (pool, other):
        each.add(experience([[1]], [[1]], [0.0]))
    assert listed(pool) == listed(other) and [row[0] for row in listed(pool)] == [[7], [1]]
    empty = Pool()
    empty.load(Pool().state())
    assert len(empty) == 0


def test_what_a_prompt_of_each_quantile_begins_with(ab):
    """Ids 4 and 5 stand for the two worse ones of three; the best has none. And what does not fit
    the network's positions loses its beginning."""
    module = make(ab)
    assert module.first == 4
    module.pool.add(experience([[2, 3], [2], [3]], [[2], [3, 1], [3]], [0.0, 1.0, 2.0]))
    rows = module.rows(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
    prompt = rows.rollout.prompt
    assert [t[m].tolist() for t, m in zip(prompt.tokens, prompt.mask, strict=True)] == [
        [4, 2, 3],
        [5, 2],
        [3],
    ]
    assert rows.score.tolist() == [0.0, 1.0, 2.0]
    module.policy.config.max_position_embeddings = 3
    full = module.rows(torch.tensor([0]), torch.tensor([0])).rollout
    assert full.sequence.tolist() == [[4, 3, 2]]


def test_an_iteration_learns_as_many_as_it_drew(ab):
    """Of all that the pool has; with learns=best of its best alone, again and again."""
    for learns in ("all", "best"):
        module = make(ab, learns=learns, inner_epochs=1, minibatch_size=8)
        module.policy.eval()
        batches = list(module.collect())
        assert {b.step_sequences for b in batches} == {8}
        assert sum(len(b.experience) for b in batches) == 32
        scores = torch.cat([b.experience.score for b in batches])
        drawn = torch.tensor(module.pool.scores)
        best = drawn[quantiles(drawn, 3) == 2]
        if learns == "all":
            assert sorted(scores.tolist()) == sorted(drawn.tolist())
        else:
            assert {*scores.tolist()} == {*best.tolist()} and len(best) < 32
            assert not any((b.experience.rollout.prompt.tokens >= 4).any() for b in batches)
        assert module.collected["ppo/kept_score"] == pytest.approx(float(best.mean()))
        assert module.collected["ppo/pool"] == 32


def test_wrong_numbers_are_refused(ab):
    with pytest.raises(ValueError, match="quantiles must be at least 2, got 1"):
        make(ab, quantiles=1)
    with pytest.raises(ValueError, match="pool_iterations must be at least 1, got 0"):
        make(ab, pool_iterations=0)


# --- the loss


def by_hand(module, rows, weight, sums):
    """-log pi + coef KL of each response's tokens, from embeddings that are put together here, one
    text at a time. `rows`: prompt, response, quantile."""
    policy, reference = module.policy, module.parts.reference.model
    embed, total = policy.get_input_embeddings(), 0.0
    temperature = module.settings.sampling.temperature
    for (prompt, response, place), each in zip(rows, weight, strict=True):
        embedded = embed(torch.tensor([[*prompt, *response]]))
        if place < module.count - 1:
            embedded = torch.cat([module.control[place][None, None], embedded], dim=1)
        count = len(response)
        logits = policy(inputs_embeds=embedded).logits[0, -count - 1 : -1] / temperature
        ref = reference(input_ids=torch.tensor([[*prompt, *response]])).logits[0]
        ref = (ref[-count - 1 : -1] / temperature).log_softmax(-1)
        logp = logits.log_softmax(-1)
        kl = (logp.exp() * (logp - ref)).sum(-1)
        nll = -logp[torch.arange(count), torch.tensor(response)]
        total = total + each * sums(nll + module.kl.coef * kl)
    return total


def test_the_loss_of_numbers_by_hand(ab):
    """A policy without a preference among 4 ids: -log pi = log 4 a token, whatever the quantile;
    its KL to the reference is -log 4 - the mean of log ref, which is 0 where that has none."""
    module = make(ab, coef=2.0, reference_seed=1)
    for parameter in module.policy.parameters():
        parameter.data.zero_()
    module.pool.add(experience([[2, 3], [2], [3]], [[2], [3, 1], [3]], [0.0, 1.0, 2.0]))
    rows = module.rows(torch.arange(3), torch.arange(3))
    batch = Minibatch(experience=rows, step_tokens=4, step_sequences=3, splits=1)

    def mean(x, mask):
        return (x * mask).sum() / 4

    losses = module.loss(batch, mean)
    assert float(losses.terms["policy_loss"]) == pytest.approx(math.log(4))
    reference = module.parts.reference.model
    refs = [
        reference(input_ids=torch.tensor([ids])).logits[0, at].log_softmax(-1).mean()
        for ids, places in (([2, 3, 2], [1]), ([2, 3, 1], [0, 1]), ([3, 3], [0]))
        for at in places
    ]
    kl = -math.log(4) - float(torch.stack(refs).mean())
    assert kl > 0.05 and float(losses.terms["kl_loss"]) == pytest.approx(2 * kl, rel=1e-5)
    assert float(losses.total) == pytest.approx(math.log(4) + 2 * kl, rel=1e-5)
    reference.load_state_dict(module.policy.state_dict())
    assert float(module.loss(batch, mean).terms["kl_loss"]) == pytest.approx(0.0, abs=1e-6)


class Population:
    """Responses of a policy without a preference, each as often as its probability says: of 4 ids
    16 to a prompt where they have 2 tokens at most, whose quantiles are those of the population."""

    def __init__(self, **settings):
        from rlhf.data.tokenizers import symbols

        tokenizer = symbols("ab")
        tokens = settings.setdefault("tokens", 2)
        self.module = make(
            tokenizer,
            architecture="gpt2",  # all of it in float64
            double=True,
            aggregation="sequence_sum",
            reference_seed=1,
            minibatch_size=10_000,
            inner_epochs=1,
            **settings,
        )
        self.module.policy.eval()
        self.view = ExactView(self.module, self.module.parts.prompts.heldout)
        _, _, self.reward = self.view.tables()
        rollout = self.view.rollout
        vocabulary = 4  # with the pad, which any text may have
        times = vocabulary ** (tokens - rollout.mask.sum(1))
        self.copies = times
        self.rows = [
            (p[m].tolist(), t[k].tolist())
            for p, m, t, k in zip(
                rollout.prompt.tokens,
                rollout.prompt.mask,
                rollout.tokens,
                rollout.mask,
                strict=True,
            )
        ]

    @property
    def places(self):
        """[X * N] the quantile of each response in the population, by its mass below."""
        reward = self.reward.flatten().float()
        mass = self.copies / self.copies.sum()
        below = torch.stack([mass[reward < each - 1e-6].sum() for each in reward])
        place = (self.module.count * below + 1e-6).floor().long()
        return torch.where(reward > reward.max() - 1e-6, self.module.count - 1, place)

    def batch(self):
        """The module's own minibatch of all of it."""
        module = self.module
        every = [row for row, n in enumerate(self.copies.tolist()) for _ in range(n)]
        prompts, responses = zip(*(self.rows[row] for row in every), strict=True)
        scores = self.reward.flatten()[every].tolist()
        module.drawn = len(every)
        (batch,) = module.minibatches(experience(prompts, responses, scores))
        assert len(batch.experience) == len(every)
        return batch

    def loss(self, batch):
        """Its mean over prompts and the responses to each."""
        count = len(batch.experience)
        return self.module.loss(batch, lambda x, mask: masked_sum(x, mask, dim=1).sum() / count)

    def gradient(self, total):
        own = [*self.module.policy.parameters(), self.module.control]
        gradients = torch.autograd.grad(total, own, allow_unused=True)
        pairs = zip(own, gradients, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs])


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("count", [2, 5])
def test_the_expected_first_gradient_is_that_of_the_population(count, temperature):
    """E[-log pi(y | quantile of y, x) + coef sum_t KL_t] over what the first iteration draws, by
    the quantile of each response's reward in that very distribution, ties among them."""
    it = Population(quantiles=count, temperature=temperature)
    assert len(it.reward.unique()) < 15 and {*it.places.tolist()} >= {0, count - 1}
    found = it.gradient(it.loss(it.batch()).total)
    rows = [(*row, place) for row, place in zip(it.rows, it.places.tolist(), strict=True)]
    weight = it.copies / it.copies.sum()
    true = it.gradient(by_hand(it.module, rows, weight.tolist(), torch.sum))
    assert float((found - true).norm() / true.norm()) < 1e-4
    other = [(*row, min(place + 1, count - 1)) for *row, place in rows]
    wrong = it.gradient(by_hand(it.module, other, weight.tolist(), torch.sum))
    assert float((wrong - true).norm() / true.norm()) > 0.01


def descend(it):
    batch, module = it.batch(), it.module
    descent = torch.optim.LBFGS(
        [*module.policy.parameters(), module.control],
        max_iter=300,
        history_size=30,
        tolerance_grad=1e-9,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        descent.zero_grad()
        loss = it.loss(batch).total
        loss.backward()
        return loss

    descent.step(closure)


@pytest.mark.slow
def test_the_minimum_without_a_penalty_is_the_best_quantile_itself():
    """What the policy answers then, without any token, is the start's distribution restricted to
    the best quantile, with a KL to it of -log of that one's mass."""
    it = Population(quantiles=2, coef=0.0, asked=("a b",), gold=likes_a)
    descend(it)
    logp = it.view.tables()[0][0]
    best = it.places == 1
    mass = it.copies / it.copies.sum()
    target = torch.where(best, mass / mass[best].sum(), 0.0)
    torch.testing.assert_close(logp.exp(), target.double(), atol=1e-4, rtol=0)
    kl = exact_sequence_kl(logp[None], mass.double().log()[None])
    assert float(kl) == pytest.approx(-math.log(float(mass[best].sum())), abs=1e-3)


def optimum(chances, ref, coef):
    """The pi of least -sum chances log pi + coef KL(pi || ref): chances / pi - coef log(pi / ref)
    is one number, found by bisection, as is each pi at it."""

    def pi_at(level):
        low, high = torch.full_like(ref, 1e-12), torch.full_like(ref, 1e3)
        for _ in range(200):
            middle = (low * high).sqrt()
            above = chances / middle - coef * (middle / ref).log() > level
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        return (low * high).sqrt()

    low, high = -100.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float(pi_at(middle).sum()) > 1 else (low, middle)
    return pi_at((low + high) / 2)


def test_the_minimum_with_a_penalty_is_the_optimum_of_each_prefix():
    """The first token of the answer to one prompt, in each quantile's own context."""
    it = Population(quantiles=2, coef=0.5, asked=("a b",), gold=likes_a)
    descend(it)
    module, mass = it.module, it.copies / it.copies.sum()
    prompt = torch.tensor([it.rows[0][0]])
    ref = module.parts.reference.model(input_ids=prompt).logits[0, -1].softmax(-1)
    embed = module.policy.get_input_embeddings()
    first = torch.tensor([row[1][0] for row in it.rows])
    for place in (0, 1):
        embedded = embed(prompt)
        if place == 0:
            embedded = torch.cat([module.control[0][None, None], embedded], dim=1)
        pi = module.policy(inputs_embeds=embedded).logits[0, -1].softmax(-1)
        inside = torch.where(it.places == place, mass, 0.0).double()
        chances = torch.zeros(4, dtype=torch.float64).index_add_(0, first, inside / inside.sum())
        torch.testing.assert_close(pi, optimum(chances, ref, 0.5), atol=1e-4, rtol=0)


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_sum", "sequence_mean"])
def test_no_gradient_depends_on_the_split(ab, aggregation):
    def gradient(**split):
        module = make(ab, aggregation=aggregation, entropy_coef=0.1, reference_seed=1, **split)
        module.policy.eval()
        collected = module.collect()
        first = next(collected)
        for batch in [first, *(next(collected) for _ in range(first.splits - 1))]:
            (module.training_step(batch, 0) / batch.splits).backward()
        return torch.cat([p.grad.flatten() for p in module.parameters()]), first.splits

    whole, one = gradient()
    for split in ({"micro_batch_size": 3}, {"micro_batch_tokens": 13}):
        parts, splits = gradient(**split)
        assert one == 2 < splits  # the reference's logits beside the policy's
        torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-4)


# --- training


def test_it_draws_and_is_evaluated_as_the_best_quantile(ab):
    """The first rollout is the SFT policy's; no response has a control token; the pool grows."""
    module = make(ab, iterations=3, pool_iterations=2)
    before = module.control.detach().clone()
    rows = train(module, CollectedMinibatches(module))["rows"]
    assert rows[0]["kl/sequence_nats"] == pytest.approx(0.0, abs=1e-5)
    assert rows[-1]["kl/sequence_nats"] > 0.01 < rows[-1]["eval/kl/sequence_nats_exact"]
    assert [row["ppo/pool"] for row in rows] == [32, 64, 64]
    assert all("trust_region/kl" not in row and "ppo/kl_loss" in row for row in rows)
    assert (module.control - before).abs().min() > 0
    assert all(int(ids.max()) < 4 for ids in module.pool.responses + module.pool.prompts)


# --- whole runs

RUN = ["scorer=gold", "algorithm=quark"]
RUNS = {
    "all": [],
    "best": ["algorithm.learns=best", "algorithm.pool_iterations=2"],
    "adapter": ["model/adapter=lora"],
    "bf16": ["trainer.precision=bf16-true"],
}


@pytest.mark.parametrize(
    "name", ["all", *(pytest.param(n, marks=pytest.mark.slow) for n in ("best", "adapter", "bf16"))]
)
def test_a_run_resumes_to_the_same_bytes(run_in, stop_at, tmp_path, name):
    """The pool and the rows of the control tokens are in the checkpoint, and in no policy."""
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
    assert [row["ppo/pool"] for row in rows] == [
        16 * min(i, 2 if name == "best" else 4) for i in range(1, 5)
    ]
    assert rows[-1]["eval/kl/sequence_nats_exact"] > 0
    assert summary["kl.descends"] == "the KL of each token, without the KL that it causes later"


@pytest.mark.slow
def test_what_is_exported_is_the_best_quantile_for_transformers_alone(run_in, artifacts, tmp_path):
    """The directory has the SFT policy's vocabulary, and is read back in a process of its own."""
    from rlhf.export.directory import export
    from rlhf.export.made import find
    from rlhf.models.load import load_causal_lm, load_tokenizer

    summary = run_in(tmp_path / "run", *RUN)
    sentence = export(find(tmp_path / "run"), "policy", tmp_path / "out")
    assert "read in a fresh process with transformers alone" in sentence
    sft = artifacts / "sft" / summary["fingerprints"]["sft"]
    ours, theirs = load_causal_lm(tmp_path / "out"), load_causal_lm(sft)
    assert ours.get_input_embeddings().weight.shape == theirs.get_input_embeddings().weight.shape
    assert load_tokenizer(tmp_path / "out").get_vocab() == load_tokenizer(sft).get_vocab()
    assert "`algorithm=quark`" in (tmp_path / "out" / "README.md").read_text()
