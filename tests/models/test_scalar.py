import pytest
import torch

from rlhf.models.load import scalar_model_from
from tests.conftest import tiny


def test_rm_last_token(tokenizer, architecture):
    """The score is read at the last counted token, left or right padded, and equals the row's
    own alone."""
    scalar = scalar_model_from(tiny(tokenizer, architecture), seed=0)
    row, other = [3, 4, 5], [3, 6, 7, 2, 4]
    alone = scalar.score(torch.tensor([row]), torch.ones(1, 3, dtype=torch.bool))
    right = torch.tensor([row + [0, 0], other])
    right_mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    left = torch.tensor([[0, 0, *row], other])
    left_mask = torch.tensor([[False] * 2 + [True] * 3, [True] * 5])
    assert torch.allclose(scalar.score(right, right_mask)[0], alone[0], atol=1e-5)
    assert torch.allclose(scalar.score(left, left_mask)[0], alone[0], atol=1e-5)


def test_rm_norm(policy):
    """Scores of the samples get mean 0 and std 1; normalising twice is the same as once."""
    scalar = scalar_model_from(policy, seed=0)
    ids, mask = torch.arange(1, 9).reshape(4, 2), torch.ones(4, 2, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(2):
            scalar.normalize(scalar.score(ids, mask))
            scores = scalar.score(ids, mask)
            assert abs(float(scores.mean())) < 1e-5
            assert abs(float(scores.std(correction=0)) - 1) < 1e-5


def test_equal_scores_are_not_divided_by_nothing(policy):
    scalar = scalar_model_from(policy, seed=0)
    scalar.normalize(torch.tensor([2.0, 2.0, 2.0]))
    assert scalar.normalization == (2.0, 1.0)


def test_fold_brings_the_scale_into_the_head_and_declares_the_mean(policy):
    """Scores 1, 2, 6: mean 3, std sqrt(14/3); the head is divided by it, and so is the mean."""
    scalar = scalar_model_from(policy, seed=0)
    before, std = scalar.head.weight.clone(), (14 / 3) ** 0.5
    scalar.normalize(torch.tensor([1.0, 2.0, 6.0]))
    assert scalar.normalization == pytest.approx((3.0, std))
    assert torch.equal(scalar.head.weight, before)
    scalar.fold()
    assert torch.allclose(scalar.head.weight, before / std)
    assert scalar.normalization == pytest.approx((3 / std, 1.0))


def test_fold_changes_no_output(policy):
    scalar = scalar_model_from(policy, seed=0)
    ids, mask = torch.arange(1, 9).reshape(4, 2), torch.ones(4, 2, dtype=torch.bool)
    raw = scalar(ids, mask)
    scalar.model.config.score_mean, scalar.model.config.score_std = 0.5, 4.0
    of_before = scalar(ids, mask)
    assert torch.allclose(of_before, (raw - 0.5) / 4)
    scalar.fold()
    assert scalar.normalization == (0.125, 1.0)
    assert torch.allclose(scalar(ids, mask), of_before, atol=1e-6)


def test_value_alignment(policy):
    """The value at a response token is read before that token: changing the token (or later
    ones) leaves it as it was."""
    scalar = scalar_model_from(policy, seed=0)
    mask = torch.ones(1, 5, dtype=torch.bool)
    one, two = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[1, 2, 3, 7, 5]])
    a, b = scalar.values(one, mask, 3), scalar.values(two, mask, 3)
    assert a.shape == (1, 3)
    assert torch.allclose(a[:, :2], b[:, :2], atol=1e-6) and not torch.allclose(
        a[:, 2], b[:, 2], atol=1e-4
    )


def test_a_score_is_float32_in_every_precision(policy):
    """The states of a network may have 16 bits; what the head makes of them has 32: two equal
    numbers of 8 bits and their sum of products, 1 + 2^-9, which has none of 8."""
    scalar = scalar_model_from(policy, seed=0).bfloat16()
    with torch.no_grad():
        scalar.head.weight.zero_()[0, :2] = torch.tensor([1.0, 2.0**-9])
    states = torch.ones(1, scalar.head.in_features, dtype=torch.bfloat16)
    assert scalar.read(states).item() == 1 + 2.0**-9
    with torch.autocast("cpu", torch.bfloat16):
        assert scalar.float().read(states.float()).item() == 1 + 2.0**-9


def test_a_zero_head_gives_zeros_whatever_the_normalisation_was(policy):
    scalar = scalar_model_from(policy, seed=0)
    ids, mask = torch.arange(1, 9).reshape(4, 2), torch.ones(4, 2, dtype=torch.bool)
    scalar.normalize(torch.tensor([1.0, 5.0]))
    backbone = {name: weight.clone() for name, weight in scalar.model.base_model.named_parameters()}
    assert not scalar.with_zero_head()(ids, mask).any()
    after = dict(scalar.model.base_model.named_parameters())
    assert all(torch.equal(weight, after[name]) for name, weight in backbone.items())
