"""Coverage over thousands of repeats, drawn from tables of probabilities: nothing is generated."""

import math

import pytest
import torch

from rlhf.functional.kl import absolute, exact, k1, k1_clamped, k2, k3
from rlhf.functional.logprobs import token_logp
from rlhf.oracle import enumerate_responses, exact_sequence_kl
from rlhf.oracle.calibration import calibrate_mean, calibrate_ratio, draw

# data=micro: four letters and EOS, responses of up to four tokens
VOCAB, EOS, LENGTH, PROMPTS = 5, 4, 4, 3
EACH, REPEATS = 86, 2000  # 258 responses: an evaluation's 256 over three prompts


def tables():
    """A peaked reference and a policy about a nat from it, as PPO leaves them: logp, ref_logp,
    lengths and estimates, all [X, N]."""
    tokens, mask = enumerate_responses(VOCAB, EOS, LENGTH)
    prefix = torch.zeros_like(tokens)
    for t in range(1, LENGTH):
        prefix[:, t] = prefix[:, t - 1] * VOCAB + tokens[:, t - 1] + 1
    draws = torch.Generator().manual_seed(3)
    rows = int(prefix.max()) + 1
    found = {}
    for _ in range(PROMPTS):
        ref = 1.5 * torch.randn(rows, VOCAB, generator=draws, dtype=torch.float64)
        logits, ref_logits = (
            (ref + 0.8 * torch.randn(rows, VOCAB, generator=draws, dtype=torch.float64))[prefix],
            ref[prefix],
        )
        d = token_logp(logits, tokens), token_logp(ref_logits, tokens)
        per_token = {f.__name__: f(*d) for f in (k1, k2, k3, absolute, k1_clamped)} | {
            "exact": exact(logits, ref_logits)
        }
        parts = {
            name: (x * mask).sum(-1)
            for name, x in {"logp": d[0], "ref_logp": d[1], **per_token}.items()
        }
        for name, x in (parts | {"lengths": mask.sum(-1)}).items():
            found.setdefault(name, []).append(x)
    return {name: torch.stack(columns) for name, columns in found.items()}


@pytest.fixture(scope="module")
def problem():
    t = tables()
    truth = float(exact_sequence_kl(t["logp"], t["ref_logp"]).mean())
    return t, truth, draw(t["logp"], EACH * PROMPTS, REPEATS, torch.Generator().manual_seed(0))


def test_k_expectation_of_sequences(problem):
    """Token by token, k1, k3 and exact add up to unbiased estimates of the sequence KL; k2, abs
    and k1_clamped do not."""
    t, truth, drawn = problem
    bias = {
        n: calibrate_mean(t[n], t["logp"], truth, *drawn).bias
        for n in ("k1", "k3", "exact", "k2", "absolute", "k1_clamped")
    }
    assert max(abs(bias[n]) for n in ("k1", "k3", "exact")) < 1e-12 < truth
    assert (
        min(abs(bias[n]) for n in ("k2", "absolute", "k1_clamped")) > 0.01
        and bias["k1_clamped"] > 0
    )


@pytest.mark.parametrize("name", ["k1", "k3", "exact"])
def test_coverage_of_the_unbiased(problem, name):
    """The 95 % interval of nats per response, and of nats per token, holds the truth in 93 to 97
    % of 2,000 evaluations."""
    t, truth, drawn = problem
    found = calibrate_mean(t[name], t["logp"], truth, *drawn)
    assert 0.93 <= found.coverage <= 0.97
    assert found.se == pytest.approx(found.std, rel=0.05)
    per_token = truth / float((t["logp"].exp() * t["lengths"]).sum(-1).mean())
    ratio = calibrate_ratio(t[name], t["lengths"], per_token, *drawn)
    assert 0.93 <= ratio.coverage <= 0.97 and abs(ratio.bias) < 0.1 * ratio.std
    assert ratio.se == pytest.approx(ratio.std, rel=0.05)


@pytest.mark.parametrize("name", ["k2", "absolute", "k1_clamped"])
def test_coverage_of_the_biased_falls_with_more_responses(problem, name):
    t, truth, drawn = problem
    few = calibrate_mean(t[name], t["logp"], truth, *drawn)
    many = calibrate_mean(
        t[name],
        t["logp"],
        truth,
        *draw(t["logp"], 8 * EACH * PROMPTS, 200, torch.Generator().manual_seed(0)),
    )
    assert few.coverage < 0.93 and many.coverage <= few.coverage


def test_full_kl_has_the_smallest_spread(problem):
    t, truth, drawn = problem
    std = {n: calibrate_mean(t[n], t["logp"], truth, *drawn).std for n in ("k1", "k3", "exact")}
    assert std["exact"] < 0.6 * std["k1"] and std["exact"] < std["k3"]


def test_without_the_prompts_the_interval_is_too_wide(problem):
    """Prompts that are asked in turns are no chance: an error that holds the spread between them
    covers too often."""
    t, truth, (index, groups) = problem
    alone = calibrate_mean(t["exact"], t["logp"], truth, index, torch.arange(len(groups)))
    assert (
        alone.coverage > calibrate_mean(t["exact"], t["logp"], truth, index, groups).coverage + 0.02
    )


def test_a_rare_tail_spoils_any_interval():
    """A response of probability 1e-4 that carries most of the variance is in one sample of 256
    out of 40: the others do not know it."""
    logp = torch.tensor([[1 - 1e-4, 1e-4]], dtype=torch.float64).log()
    values = torch.tensor([[0.0, 1000.0]])
    found = calibrate_mean(
        values, logp, 0.1, *draw(logp, 256, 2000, torch.Generator().manual_seed(0))
    )
    assert abs(found.bias) < 1e-12 and found.coverage < 0.05 and found.se < 0.2 * found.std


def test_by_hand():
    """Two responses of probability 1/2, values 0 and 2, four drawn: mean 1, std sqrt(1 / 4)."""
    logp, values = torch.full((1, 2), 0.5).log(), torch.tensor([[0.0, 2.0]])
    found = calibrate_mean(values, logp, 0.5, *draw(logp, 4, 10, torch.Generator().manual_seed(0)))
    assert (found.expected, found.bias, found.std) == pytest.approx((1.0, 0.5, 0.5))
    ratio = calibrate_ratio(
        values, torch.ones(1, 2), 1.0, *draw(logp, 4, 4000, torch.Generator().manual_seed(0))
    )
    assert ratio.expected == pytest.approx(
        1.0, abs=4 * 0.5 / math.sqrt(4000)
    ) and ratio.std == pytest.approx(0.5, rel=0.05)


def test_draw_asks_every_prompt_equally_often():
    logp = torch.tensor([[0.5, 0.5], [1.0, 0.0]]).log()
    index, groups = draw(logp, 6, 5, torch.Generator().manual_seed(0))
    assert index.shape == (5, 6) and groups.tolist() == [0, 0, 0, 1, 1, 1]
    assert (index[:, 3:] == 2).all() and (index[:, :3] < 2).all()
    with pytest.raises(ValueError, match="7 responses"):
        draw(logp, 7, 5, torch.Generator().manual_seed(0))
