import pytest
import torch

from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.engines.sampler import draw, inverted, uniforms, warp


def test_warp_by_hand():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()

    def probabilities(**settings):
        return warp(logits, Sampling(max_new_tokens=1, **settings)).exp()[0].tolist()

    assert probabilities() == pytest.approx([0.5, 0.3, 0.15, 0.05])
    assert probabilities(top_k=2) == pytest.approx([0.625, 0.375, 0, 0])
    assert probabilities(top_p=0.8) == pytest.approx([0.625, 0.375, 0, 0])
    assert probabilities(top_p=0.81) == pytest.approx([0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0])
    assert probabilities(top_p=0.01) == pytest.approx([1, 0, 0, 0])
    squares = [0.25, 0.09, 0.0225, 0.0025]
    assert probabilities(temperature=0.5) == pytest.approx([x / sum(squares) for x in squares])


def test_a_token_has_the_numbers_between_the_sums_before_and_with_it():
    """Of 1/2, 0, 1/4 and 1/4: [0, 1/2) is the first, [1/2, 3/4) the third, the rest the last."""
    u = torch.tensor([0.0, 0.4999, 0.5, 0.7499, 0.75, 0.9999])
    p = torch.tensor([0.5, 0.0, 0.25, 0.25]).repeat(6, 1)
    assert inverted(p, u).tolist() == [0, 0, 2, 2, 3, 3]
    assert inverted(p * 3, u).tolist() == [0, 0, 2, 2, 3, 3]  # they need not add up to 1


def test_a_draw_by_hand():
    """Of 1/2, 1/4, 1/4: the entropy is 1.5 log 2. What top-k 1 leaves has none."""
    logits = torch.tensor([[0.5, 0.25, 0.25, 0.0]]).log()
    u = torch.tensor([0.6])
    drawn = draw(logits, u, Sampling(max_new_tokens=1))
    assert drawn.tokens.tolist() == [1]
    assert drawn.logp.tolist() == pytest.approx([-1.3863], abs=1e-4)
    assert drawn.entropy.tolist() == pytest.approx([1.0397], abs=1e-4)
    greedy = draw(logits, u, Sampling(max_new_tokens=1, top_k=1))
    assert (greedy.tokens.item(), greedy.logp.item(), greedy.entropy.item()) == (0, 0.0, 0.0)
    narrow = draw(logits.bfloat16(), u, Sampling(max_new_tokens=1))
    assert narrow.logp.dtype == narrow.entropy.dtype == torch.float32


def test_tokens_of_probability_0_are_never_drawn():
    """At both ends and between others, and where rounding makes u times the sum the sum."""
    p = torch.zeros(3, 9)
    p[0, 4], p[1, [2, 6]], p[2, [1, 7]] = 1.0, 1 / 3, 0.1
    for u in (0.0, 0.5, 1 - 2**-24, 1.0):
        drawn = inverted(p, torch.full((3,), u))
        assert (p.gather(1, drawn[:, None]) > 0).all(), u


def test_the_draws_follow_the_distribution():
    """20,000 draws from 12 tokens with probabilities from 0.3 to 1e-4: chi-squared within the
    99.9 % bound of 11 degrees of freedom, 31.3."""
    p = torch.tensor([0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.03, 0.02, 0.007, 0.0029, 1e-4])
    n = 20_000
    u = torch.rand(n, generator=generator(0, "draws"))
    drawn = draw(p.log().repeat(n, 1), u, Sampling(max_new_tokens=1)).tokens
    seen = torch.bincount(drawn, minlength=12).double()
    assert float(((seen - n * p).square() / (n * p)).sum()) < 31.3


def test_a_row_of_nan_has_a_token_and_keeps_its_nan():
    logits = torch.tensor([[0.0, torch.nan, 0.0, 0.0], [0.0, -torch.inf, 0.0, -torch.inf]])
    drawn = draw(logits, torch.tensor([0.3, 0.6]), Sampling(max_new_tokens=1))
    assert drawn.tokens.tolist() == [1, 2]  # uniformly over 4; over the first and the third
    assert drawn.logp.isnan().tolist() == drawn.entropy.isnan().tolist() == [True, False]


def test_a_rows_numbers_depend_on_its_place_alone():
    def numbers(rows, steps, seed=0):
        return uniforms(generator(seed, "u"), torch.tensor(rows), steps)

    whole = numbers([0, 1, 2, 3], 5)
    assert whole.shape == (4, 5) and float(whole.min()) >= 0 and float(whole.max()) < 1
    assert torch.equal(numbers([3, 1], 5), whole[[3, 1]])  # whoever else is drawn
    assert torch.equal(numbers([2], 3), whole[2:3, :3])  # however many steps
    assert len({*whole.flatten().tolist()}) == 20
    assert not torch.equal(numbers([0], 5, seed=1), whole[:1])


def test_a_generator_gives_other_numbers_each_time():
    random = generator(0, "u")
    one, two = (uniforms(random, torch.arange(2), 4) for _ in range(2))
    assert not torch.equal(one, two)
