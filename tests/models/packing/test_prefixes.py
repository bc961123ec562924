import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.models.load import scalar_model_from
from rlhf.models.packing.layouts import Layout, calls
from rlhf.models.packing.prefixes import Shared, alike, common, first, in_common
from rlhf.models.scalar import scores
from rlhf.models.training.recompute import recomputed
from tests.conftest import tiny


def test_rows_that_begin_alike_share_it():
    """a b c d e whole, f behind its a b c, g h behind its a b: nine places, of which the first row
    is cut where the others leave it."""
    rows = [(1, 2, 3, 6), (1, 2, 7, 8), (1, 2, 3, 4, 5)]
    shared = Shared.of(rows, least=2)
    assert shared.ids == (1, 2, 3, 4, 5, 6, 7, 8)
    assert shared.positions == (0, 1, 2, 3, 4, 3, 2, 3)
    assert shared.own == (5, 1, 2)
    assert shared.pieces == (2, 1, 2, 1, 2)  # a b | c | d e | f | g h
    assert shared.seen == ((0, 1, 2), (0, 1, 3), (0, 4))
    assert shared.last == (5, 7, 4)


def test_a_row_may_share_what_another_has_of_its_own():
    """1 2 3 and 1 2 4 share 1 2; the third shares 4 with the second too."""
    shared = Shared.of([(1, 2, 3), (1, 2, 4), (1, 2, 4, 5)], least=1)
    assert shared.ids == (1, 2, 3, 4, 5)
    assert shared.seen == ((0, 1), (0, 2), (0, 2, 3))
    assert shared.last == (2, 3, 4)


def test_equal_rows_are_one():
    shared = Shared.of([(1, 2), (3,), (1, 2)], least=1)
    assert shared.ids == (1, 2, 3) and shared.last == (1, 2, 1)


def test_what_is_too_short_is_read_again():
    rows = [(1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 6)]
    assert Shared.of(rows, least=3).ids == (1, 2, 3, 4, 5, 1, 2, 6)
    assert Shared.of(rows, least=9).ids == (1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 6)
    assert common((1, 2), (1, 2, 3)) == 2 and common((), (1,)) == 0
    assert first([(0, 3), (7, 9)], 4) == [(0, 3), (7, 8)]


def test_rows_of_a_batch_share_where_that_saves_enough():
    """Ten ids of eleven in common; padding on either side does not count."""
    tokens = torch.arange(1, 13).expand(2, 12).clone()
    tokens[1, 10] = 99
    real = torch.arange(12).expand(2, 12) < 11
    shared = in_common(tokens, real)
    assert shared is not None and shared.ids == (*range(1, 12), 99)
    tokens[1, 0] = 99
    assert in_common(tokens, real) is None
    left = in_common(tokens[[0, 0]].roll(1, dims=1), real.roll(1, dims=1))
    assert left is not None and left.ids == (*range(1, 12),)


def test_rows_that_begin_alike_are_read_together():
    """Twelve tokens, then the same with one more, which is its only own one; 13 fit, and with the
    third row 25."""
    rows = [(*range(12), 40), (50, *range(11)), (*range(12),)]
    assert alike(rows, AtOnce(tokens=13)) == [[2, 0], [1]]
    assert alike(rows, AtOnce(tokens=25)) == [[2, 0, 1]]
    assert alike(rows, AtOnce(rows=1)) == [[2], [0], [1]]
    assert alike(rows, AtOnce(tokens=1)) == [[2], [0], [1]]
    assert alike([], AtOnce()) == []


def texts():
    """Four rows of 12 to 20 tokens, all alike but the third, the first and the last one equal."""
    tokens = torch.randint(3, 10, (4, 20), generator=torch.Generator().manual_seed(0))
    tokens[1, :14] = tokens[0, :14]
    tokens[3] = tokens[0]
    attention = torch.arange(20) < torch.tensor([18, 20, 12, 18])[:, None]
    last = torch.arange(20) == attention.sum(1)[:, None] - 1
    return tokens, attention, last


@pytest.mark.parametrize("again", [False, True])
def test_states_and_gradients_are_those_of_rows_alone(tokenizer, architecture, again):
    """With gradient checkpointing too. 36 tokens in place of 68: 14 of the second row and the last
    row are there already."""
    tokens, attention, last = texts()
    (call,) = calls(Layout.PACKED, tokens, attention, last, 32)
    assert call.named["input_ids"].shape == (1, 68 - 14 - 18)
    model = scalar_model_from(tiny(tokenizer, architecture), seed=0)
    with recomputed(model) if again else torch.enable_grad():
        ours = model.score(tokens, attention)
    padded = model(tokens, attention).gather(1, last.long().argmax(1, keepdim=True))[:, 0]
    assert torch.allclose(ours, padded, atol=1e-5)
    weights = [*model.network.base_model.parameters()]
    weighed = torch.tensor([1.0, -2.0, 3.0, 0.5])
    one, other = (torch.autograd.grad((s * weighed).sum(), weights) for s in (ours, padded))
    for own, expected in zip(one, other, strict=True):
        assert torch.allclose(own, expected, atol=1e-5, rtol=1e-4)


def test_rows_share_nothing_where_more_than_the_last_token_is_asked_for():
    tokens, attention, last = texts()
    (call,) = calls(Layout.PACKED, tokens, attention, last | last.roll(-1, dims=1), 256)
    assert call.named["input_ids"].shape == (1, 68)


def test_scores_are_read_from_packs_of_rows_that_begin_alike(tokenizer):
    """At 24 tokens the equal first and last rows (18, read once) and the second (6 of its own) go
    together, in their order; the third has 12 more."""
    tokens, attention, _ = texts()
    model, packs = scalar_model_from(tiny(tokenizer), seed=0), []
    read = model.score
    with torch.no_grad():
        expected = read(tokens, attention)
        model.score = lambda *rows: (packs.append(len(rows[0])), read(*rows))[1]
        own = scores(model, tokens, attention, AtOnce(tokens=24))
    assert sorted(packs) == [1, 3] and torch.allclose(own, expected, atol=1e-5)
