"""DPO and its relatives: what they end at by enumeration, and the module that learns from pairs."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.data.collate import Encoded, EncodedPreference, collate_pairs
from rlhf.data.tokenizers import symbols
from rlhf.functional.losses import preference_loss
from rlhf.functional.masking import masked_sum
from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Reward
from rlhf.kl.reference import SFT
from rlhf.models.policy import PolicyReader
from rlhf.modules.advantage import NoAdvantage
from rlhf.modules.algorithms.dpo import DPOModule, answer_logp
from rlhf.modules.exact import ExactView
from rlhf.modules.parts import (
    EvaluationSettings,
    OnlineParts,
    OnlineSettings,
    PromptSource,
    Rows,
)
from rlhf.modules.trust_region import Unlimited
from rlhf.oracle import optimal_policy
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.score import GoldScorer, Judges
from rlhf.stages.rows import tokens_of
from tests.conftest import tiny
from tests.modules.algorithms.test_ppo import DEFAULTS, fewer_letters, optimizer, train
from tests.turns import engine as engine_of, prompt_batch, stops

# --- what the losses end at


def preferences(reward, temperature=1.0):
    """P(i preferred to j) [X, N, N] of Bradley and Terry."""
    return torch.sigmoid((reward[:, :, None] - reward[:, None, :]) / temperature)


def end_of(kind, ref_logp, labels, beta, smoothing=0.0):
    """The policy at the minimum of the exact expected loss: two responses of the reference to each
    prompt, labelled. [X, N] log-probabilities."""
    logits = ref_logp.clone().requires_grad_()
    pairs = ref_logp.exp()[:, :, None] * ref_logp.exp()[:, None, :]

    def expected():
        ratio = logits.log_softmax(-1) - ref_logp
        losses = preference_loss(ratio[:, :, None] - ratio[:, None, :], beta, kind, smoothing)
        return (pairs * labels * losses).sum()

    descent = torch.optim.LBFGS(
        [logits],
        max_iter=3000,
        tolerance_grad=1e-14,
        tolerance_change=0,
        history_size=30,
        line_search_fn="strong_wolfe",
    )

    def closure():
        descent.zero_grad()
        value = expected()
        value.backward()
        return value

    descent.step(closure)
    return logits.detach().log_softmax(-1)


@pytest.fixture
def problem():
    """log ref and reward [3, 12]."""
    draws = torch.Generator().manual_seed(0)
    ref_logp = torch.randn(3, 12, generator=draws, dtype=torch.float64).log_softmax(-1)
    return ref_logp, torch.randn(3, 12, generator=draws, dtype=torch.float64)


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_dpo_ends_at_the_optimum_of_the_labels_own_reward(problem, beta):
    """pi* = ref exp(r / beta) / Z, where labels are Bradley-Terry of r."""
    ref_logp, reward = problem
    end = end_of("sigmoid", ref_logp, preferences(reward), beta)
    best, _ = optimal_policy(ref_logp, reward, beta)
    torch.testing.assert_close(end.exp(), best.exp(), atol=1e-5, rtol=0)
    # labels at another temperature are those of another reward
    end = end_of("sigmoid", ref_logp, preferences(reward, 2.0), beta)
    best, _ = optimal_policy(ref_logp, reward / 2, beta)
    torch.testing.assert_close(end.exp(), best.exp(), atol=1e-5, rtol=0)


def test_smoothing_undoes_labels_that_are_flipped_so_often(problem):
    ref_logp, reward = problem
    flipped = 0.9 * preferences(reward) + 0.1 * (1 - preferences(reward))
    end = end_of("sigmoid", ref_logp, preferences(reward), 1.0, smoothing=0.1)
    same = end_of("sigmoid", ref_logp, flipped, 1.0)
    torch.testing.assert_close(end, same, atol=1e-6, rtol=0)


def test_ipo_ends_at_the_optimum_of_its_win_rate(problem):
    """pi* = ref exp(E_y'~ref[P(y preferred to y')] / beta) / Z (arXiv 2310.12036, Eq. 10)."""
    ref_logp, reward = problem
    labels = preferences(reward)
    wins = (labels * ref_logp.exp()[:, None, :]).sum(-1)
    best, _ = optimal_policy(ref_logp, wins, 0.2)
    end = end_of("ipo", ref_logp, labels, 0.2)
    torch.testing.assert_close(end.exp(), best.exp(), atol=1e-6, rtol=0)
    # labels without noise, of which DPO has no optimum: IPO's is finite
    certain = (reward[:, :, None] > reward[:, None, :]).double()
    certain = certain + 0.5 * torch.eye(12, dtype=torch.float64)
    best, _ = optimal_policy(ref_logp, (certain * ref_logp.exp()[:, None, :]).sum(-1), 0.2)
    torch.testing.assert_close(end_of("ipo", ref_logp, certain, 0.2), best, atol=1e-5, rtol=0)


# --- the module


def encoded(prompt, answer):
    ids = (*prompt, *answer)
    return Encoded(
        ids=ids,
        answers=((len(prompt), len(ids)),),
        prompt_length=len(prompt),
        fate="whole",
        whole=len(ids),
        whole_prompt=len(prompt),
    )


def pair(prompt, chosen, rejected):
    return EncodedPreference(
        chosen=encoded(prompt, chosen), rejected=encoded(prompt, rejected), margin=0.0
    )


def some_pairs(count=12):
    """Of 1 to 6 ids each, ragged."""
    draws = torch.Generator().manual_seed(3)

    def ids(most):
        length = int(torch.randint(1, most + 1, (), generator=draws))
        return torch.randint(2, 9, (length,), generator=draws).tolist()

    return [pair(ids(3), [*ids(5), 1], [*ids(5), 1]) for _ in range(count)]


def make(
    tokenizer,
    *,
    pairs=None,
    heldout=None,
    coef=0.5,
    kind="sigmoid",
    smoothing=0.0,
    reference_seed=1,
    double=False,
    temperature=1.0,
    prompts=("a b", "c"),
    length=6,
    **settings,
):
    policy, reference = tiny(tokenizer), tiny(tokenizer, seed=reference_seed)
    if double:
        policy, reference = policy.double(), reference.double()
    start = PolicyReader(
        model=reference.requires_grad_(False), temperature=temperature, at_once=AtOnce(rows=64)
    )
    batch = prompt_batch(tokenizer, prompts)
    rows = some_pairs() if pairs is None else pairs
    return DPOModule(
        parts=OnlineParts(
            policy=policy.eval(),
            value_model=None,
            reference=start,
            start=start,
            engine=engine_of(policy, tokenizer),
            judges=Judges(tokenizer=tokenizer, stops=stops(tokenizer), gold=fewer_letters),
            scorer=GoldScorer(),
            prompts=PromptSource(draw=lambda i: batch, heldout=batch, training=lambda: batch),
            make_optimizer=partial(optimizer, lr=1e-3),
            pairs=Rows(
                train=rows,
                heldout=rows[:3] if heldout is None else heldout,
                collate=partial(collate_pairs, fill=tokenizer.pad_token_id),
                tokens=tokens_of,
            ),
        ),
        kl=KLPenalty(Fixed(coef), K1(), Reward(), SFT()),
        trust_region=Unlimited(),
        advantage=NoAdvantage(),
        settings=OnlineSettings(
            **{**DEFAULTS, "rollout_size": 12, "minibatch_size": 6, "inner_epochs": 1, **settings},
            evaluation=EvaluationSettings(every=1, prompts=2, samples=0),
            sampling=Sampling(max_new_tokens=length, temperature=temperature),
            seed=0,
        ),
        loss=kind,
        label_smoothing=smoothing,
    )


def gradient(module, batches):
    module.zero_grad()
    for batch in batches:
        (module.training_step(batch, 0) / batch.splits).backward()
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def test_answers_are_read_whole_and_alone(tokenizer):
    """Both texts of all pairs in one pass: each is the sum over its own answer, the stop token
    too, whatever stands beside it."""
    module = make(tokenizer, temperature=0.7)
    rows = module.pairs.train
    together = answer_logp(module.reader, module.pairs.collate(rows))
    for row, both in zip(rows, together, strict=True):
        for side, logp in zip((row.chosen, row.rejected), both, strict=True):
            logits = module.policy(torch.tensor([side.ids])).logits[0] / 0.7
            alone = logits.log_softmax(-1)[range(len(side.ids) - 1), side.ids[1:]]
            expected = alone[side.prompt_length - 1 :].sum()
            torch.testing.assert_close(logp, expected, atol=1e-5, rtol=1e-5)


def test_an_answer_without_its_end_counts_no_stop_token(tokenizer):
    module = make(tokenizer, pairs=[pair([2, 3], [4, 5, 1], [4, 5])], rollout_size=6)
    chosen, rejected = answer_logp(module.reader, module.pairs.collate(module.pairs.train))[0]
    stop = module.policy(torch.tensor([[2, 3, 4, 5]])).logits[0, -1].log_softmax(-1)[1]
    torch.testing.assert_close(chosen - rejected, stop, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "hinge"])
def test_the_expected_gradient_is_the_exact_one(kind):
    """Every response listed, every labelled pair of two of them weighed by its probability: the
    module's own numbers beside those of the responses as rollouts are read."""
    tokenizer = symbols("ab")
    module = make(tokenizer, kind=kind, double=True, coef=0.3, prompts=["a b", "b"], length=2)
    view = ExactView(module, prompt_batch(tokenizer, ["a b", "b"]))
    logp, ref_logp, reward = view.tables()
    weights = preferences(reward) * ref_logp.exp()[:, :, None] * ref_logp.exp()[:, None, :]

    per_token = module.reader.read(view.rollout).logp
    ratio = view.by_prompt(masked_sum(per_token, view.rollout.mask, dim=1)) - ref_logp
    losses = preference_loss(ratio[:, :, None] - ratio[:, None, :], 0.3, kind)
    own = [*module.policy.parameters()]
    exact = torch.autograd.grad((weights * losses).sum(), own)

    rollout, rows, weight = view.rollout, [], []
    each = logp.shape[1]
    for x in range(len(logp)):
        prompt = rollout.prompt.tokens[x * each][rollout.prompt.mask[x * each]].tolist()
        answers = [
            rollout.tokens[x * each + y][rollout.mask[x * each + y]].tolist() for y in range(each)
        ]
        rows += [pair(prompt, a, b) for a in answers for b in answers]
        weight.append(weights[x].flatten())
    batch = module.pairs.collate(rows)
    batch = replace(batch, ref_logp=module.read_all(module.parts.start, rows))
    losses, margins = module.losses(batch, answer_logp(module.reader, batch))
    ours = torch.autograd.grad((torch.cat(weight) * losses).sum(), own)
    for a, b in zip(ours, exact, strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-5)
    assert not margins.requires_grad


def test_steps_of_an_epoch_make_up_the_gradient_of_all_pairs(tokenizer):
    """Each pair once an epoch: the mean over the steps is the gradient of the mean over all."""
    module = make(tokenizer)
    steps = [gradient(module, [batch]) for batch in module.collect()]
    whole = make(tokenizer, minibatch_size=12)
    (batch,) = whole.collect()
    torch.testing.assert_close(
        torch.stack(steps).mean(0), gradient(whole, [batch]), atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize("limits", [{"micro_batch_size": 1}, {"micro_batch_size": 4},
                                    {"micro_batch_tokens": 30}])  # fmt: skip
def test_micro_batches_change_nothing(tokenizer, limits):
    whole, split = make(tokenizer), make(tokenizer, **limits)
    expected = next(iter(whole.collect()))
    parts = []
    for batch in split.collect():
        parts.append(batch)
        if len(parts) == batch.splits:
            break
    assert len(parts) > 1
    torch.testing.assert_close(
        gradient(split, parts), gradient(whole, [expected]), atol=1e-6, rtol=1e-4
    )
    one, other = whole.step_means(), split.step_means()
    assert one == pytest.approx(other, rel=1e-5) and one.keys() == {"loss", "accuracy", "margin"}


def test_the_order_is_a_function_of_seed_and_iteration(tokenizer):
    module = make(tokenizer, rollout_size=6, minibatch_size=3, inner_epochs=2)
    passes = []
    for iteration in range(4):
        module.iteration = iteration
        steps = module.steps()
        assert [len(step) for step in steps] == [3, 3, 3, 3]
        first, second = ({*steps[k], *steps[k + 1]} for k in (0, 2))
        assert first == second and len(first) == 6
        passes.append((first, steps))
    # two iterations are a permutation of all pairs
    assert passes[0][0] | passes[1][0] == passes[2][0] | passes[3][0] == {*range(12)}
    module.iteration = 1
    assert module.steps() == passes[1][1]


def test_it_learns_the_pairs_and_says_how_well(tokenizer):
    module = train(make(tokenizer, iterations=6, reference_seed=0))
    assert module.record["preference/accuracy"] > 0.9
    assert module.record["preference/margin"] > 0.05
    assert module.record["preference/pairs"] == 72 and module.record["episodes"] == 0
    assert module.record["eval/preference/accuracy"] > 0.9
    assert {"ppo/lr", "ppo/grad_norm", "eval/kl/sequence_nats", "kl/coef"} <= module.record.keys()


def test_at_its_beginning_nothing_is_known(tokenizer):
    """Loss log 2, margin 0; a tie is half right."""
    numbers = make(tokenizer, reference_seed=0).heldout_pairs()
    assert numbers["eval/preference/loss"] == pytest.approx(0.6931472, abs=1e-6)
    assert numbers["eval/preference/margin"] == 0 and numbers["eval/preference/accuracy"] == 0.5
    assert make(tokenizer, heldout=[]).heldout_pairs() == {}


def test_numbers_of_pairs_by_hand(tokenizer):
    module = make(tokenizer, coef=0.5, smoothing=0.1)
    batch = replace(
        module.pairs.collate(module.pairs.train[:2]),
        ref_logp=torch.tensor([[-3.0, -2.0], [-1.0, -4.0]]),
    )
    # h = (-2 + 3) - (-3 + 2) = 2 and (-2 + 1) - (-3 + 4) = -2
    losses, margins = module.losses(batch, torch.tensor([[-2.0, -3.0], [-2.0, -3.0]]))
    assert margins.tolist() == [1.0, -1.0]
    torch.testing.assert_close(losses, torch.tensor([0.4132617, 1.2132617]), atol=1e-6, rtol=0)


def test_what_it_cannot_learn_from_is_refused(tokenizer):
    with pytest.raises(ValueError, match="preference pairs: there are none"):
        make(tokenizer, pairs=[])
    with pytest.raises(ValueError, match=r"needs kl\.coef above 0"):
        make(tokenizer, coef=0.0)
