import math

import pytest
import torch
from torch import Tensor, tensor

from rlhf.functional.masking import masked_sum
from rlhf.kl.controller import Adaptive, AdaptiveAlpacaFarm, Controller, Dual, Fixed
from rlhf.kl.estimator import K1, K2, K3, Abs, Estimator, Exact, K1Clamped
from rlhf.kl.path import Path
from rlhf.kl.penalty import KLPenalty, SteeringKL, shaped_rewards
from rlhf.kl.placement import Both, Loss, LossWithoutRatio, Placement, Reward, SequenceLoss
from rlhf.kl.properties import UNKNOWN, descends
from rlhf.kl.reference import SFT, Synced

MASK = tensor([[True, True, True], [True, True, False]])
KL_TOKENS = tensor([[0.1, -0.2, 0.3], [0.4, 0.5, 99.0]])
SCORE = tensor([2.0, -1.0])


def penalty(
    controller: Controller | None = None,
    estimator: Estimator | None = None,
    placement: Placement | None = None,
) -> KLPenalty:
    return KLPenalty(controller or Fixed(0.5), estimator or K1(), placement or Reward(), SFT())


def kl_of(sequence: float, token: float) -> SteeringKL:
    return SteeringKL(sequence_nats=sequence, token_nats=token, episodes=100)


def test_shaped() -> None:
    rewards = penalty().token_rewards(KL_TOKENS, SCORE, MASK)
    torch.testing.assert_close(
        rewards, tensor([[-0.05, 0.1, -0.15 + 2.0], [-0.2, -0.25 - 1.0, 0.0]])
    )
    torch.testing.assert_close(rewards.sum(-1), SCORE - 0.5 * masked_sum(KL_TOKENS, MASK, dim=-1))


def test_score_position() -> None:
    """The last valid token: the EOS, or the last one of a response that was cut. A row without
    tokens gets nothing."""
    mask = tensor([[True, False, False], [True, True, True], [False, False, False]])
    rewards = shaped_rewards(torch.zeros(3, 3), tensor([1.0, 2.0, torch.nan]), mask, 0.1)
    assert rewards.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]


def test_reward_clip_order() -> None:
    """The KL is added to whatever score comes in, and is not clipped with it."""
    rewards = penalty().token_rewards(tensor([[100.0]]), tensor([10.0]), tensor([[True]]))
    assert rewards.item() == -40.0


def test_mask_after_eos() -> None:
    dirty = KL_TOKENS.masked_fill(~MASK, torch.nan)
    assert torch.equal(
        penalty().token_rewards(dirty, SCORE, MASK), penalty().token_rewards(KL_TOKENS, SCORE, MASK)
    )
    logp = KL_TOKENS.masked_fill(~MASK, torch.nan).requires_grad_()
    loss = penalty(estimator=K3(), placement=Loss()).loss(
        logp, torch.zeros(2, 3), torch.zeros(2, 3), None, MASK
    )
    loss.backward()
    assert torch.isfinite(loss)
    assert logp.grad is not None
    assert (logp.grad[~MASK] == 0).all()
    assert torch.isfinite(logp.grad).all()


def test_the_placement_decides_where_it_acts() -> None:
    logp, zero = tensor([[0.3]]), torch.zeros(1, 1)
    one, score = tensor([[True]]), tensor([1.0])
    in_reward, in_loss = penalty(estimator=K2()), penalty(estimator=K2(), placement=Loss())
    both = penalty(estimator=Exact(), placement=Both())
    assert in_reward.loss(logp, zero, logp, None, one).item() == 0.0
    assert in_reward.token_rewards(logp, score, one).item() == pytest.approx(0.85)
    assert in_loss.loss(logp, zero, logp, None, one).item() == pytest.approx(0.5 * 0.045)
    assert in_loss.token_rewards(logp, score, one).item() == 1.0
    assert both.loss(logp, zero, logp, tensor([[0.2]]), one).item() == pytest.approx(0.1)
    assert both.token_rewards(tensor([[0.2]]), score, one).item() == pytest.approx(0.9)


def test_loss_weighs_by_the_ratio_without_gradient_through_it() -> None:
    logp = tensor([[0.3]], requires_grad=True)
    old, ref, one = tensor([[0.1]]), torch.zeros(1, 1), tensor([[True]])
    loss = penalty(estimator=K2(), placement=Loss()).loss(logp, ref, old, None, one)
    loss.backward()
    rho = torch.tensor(0.2).exp().item()
    assert loss.item() == pytest.approx(0.5 * rho * 0.045)
    assert logp.grad is not None
    assert logp.grad.item() == pytest.approx(0.5 * rho * 0.3)
    # GRPO's own has none, wherever the policy is
    plain = penalty(estimator=K2(), placement=LossWithoutRatio()).loss(logp, ref, old, None, one)
    assert plain.item() == pytest.approx(0.5 * 0.045)
    # the exact KL depends on the prefix alone: no weight
    exact = penalty(estimator=Exact(), placement=Both()).loss(logp, ref, old, tensor([[0.2]]), one)
    assert exact.item() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("shown", "weight"), [({"weighted": False}, 1.0), ({"weighted": True}, 2.0), ({}, 2.0)]
)
def test_a_placement_of_ones_own_says_whether_it_is_weighted(
    shown: dict[str, bool], weight: float
) -> None:
    """By attributes of its class: rho = 2 here, k2 = log(2)^2 / 2. Without the attribute it is."""
    own = type("Mine", (), {"in_loss": True, **shown})()
    logp, ref, old = tensor([[math.log(0.5)]]), tensor([[math.log(0.25)]]), tensor([[-math.log(4)]])
    loss = penalty(estimator=K2(), placement=own).loss(
        logp, ref, old, None, torch.ones(1, 1, dtype=torch.bool)
    )
    assert float(loss) == pytest.approx(0.5 * weight * math.log(2) ** 2 / 2)


def test_sequence_loss_by_hand() -> None:
    """D = 0.2 and 0.9 of the two rows (the third token of the second is masked): 0.5 D^2 = 0.02
    and 0.405, in equal parts on the tokens."""
    zeros = torch.zeros(2, 3)
    whole = penalty(estimator=K2(), placement=SequenceLoss())
    parts = whole.token_kl(KL_TOKENS, zeros, MASK)
    torch.testing.assert_close(parts, tensor([[0.02 / 3] * 3, [0.2025, 0.2025, 0.0]]))
    logp = KL_TOKENS.clone().requires_grad_()
    old = KL_TOKENS - tensor([[0.1], [0.2]])  # log rho = 0.3 and 0.4
    loss = whole.loss(logp, zeros, old, None, MASK, masked_sum)
    rho = tensor([0.3, 0.4]).exp()
    assert loss.item() == pytest.approx(0.5 * float(rho[0] * 0.02 + rho[1] * 0.405), rel=1e-5)
    loss.backward()
    # coef * rho * D at every token of the response, no gradient through rho
    assert logp.grad is not None
    row = 0.5 * rho * tensor([0.2, 0.9])
    torch.testing.assert_close(
        logp.grad, torch.stack([row[0].expand(3), row[1] * tensor([1.0, 1.0, 0.0])])
    )
    assert torch.equal(whole.token_rewards(parts, SCORE, MASK).sum(-1), SCORE)


def test_sequence_loss_survives_a_row_without_tokens_and_a_distant_policy() -> None:
    mask = tensor([[False, False, False], [True, True, True]])
    logp = tensor([[torch.nan] * 3, [-50.0, -50.0, 0.0]]).requires_grad_()
    loss = penalty(estimator=K2(), placement=SequenceLoss()).loss(
        logp, torch.zeros(2, 3), torch.zeros(2, 3), None, mask
    )
    loss.backward()
    assert logp.grad is not None and torch.isfinite(loss) and torch.isfinite(logp.grad).all()


@pytest.mark.parametrize("estimator", [K1(), K1Clamped(), Exact()])
def test_sequence_loss_refuses_what_has_no_kl_gradient(estimator: Estimator) -> None:
    with pytest.raises(ValueError, match="with kl/placement=sequence_loss"):
        penalty(estimator=estimator, placement=SequenceLoss())


def test_every_pair_that_works_says_what_it_descends() -> None:
    for estimator in (K1(), K2(), K3(), Abs(), K1Clamped(), Exact()):
        for placement in (Reward(), Loss(), SequenceLoss(), Both()):
            described = placement.properties.kind in estimator.properties.descends
            try:
                made = penalty(estimator=estimator, placement=placement)
            except ValueError:
                assert not described
            else:
                assert described and descends(made.estimates, made.acts) != UNKNOWN


def test_loss_takes_another_reduction() -> None:
    def total(x: Tensor, mask: Tensor) -> Tensor:
        return masked_sum(x, mask)

    zeros = torch.zeros(2, 3)
    got = penalty(estimator=K2(), placement=Loss()).loss(
        KL_TOKENS, zeros, KL_TOKENS, None, MASK, total
    )
    assert got.item() == pytest.approx(0.25 * (0.01 + 0.04 + 0.09 + 0.16 + 0.25))


@pytest.mark.parametrize(
    "coef", [tensor([[0.5], [0.1]]), tensor([[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]])]
)
def test_the_coefficient_may_differ_by_response(coef: Tensor) -> None:
    rewards = penalty().token_rewards(KL_TOKENS, SCORE, MASK, coef)
    for row, value in enumerate([0.5, 0.1]):
        torch.testing.assert_close(rewards[row], shaped_rewards(KL_TOKENS, SCORE, MASK, value)[row])
    zeros = torch.zeros(2, 3)
    loss = penalty(estimator=K2(), placement=Loss()).loss(
        KL_TOKENS, zeros, KL_TOKENS, None, MASK, coef=coef
    )
    assert loss.item() == pytest.approx((0.25 * 0.14 + 0.05 * 0.41) / 5)


def test_detach() -> None:
    logp, ref, old, score = (torch.zeros(2, 3, requires_grad=True) for _ in range(4))
    rewards = penalty().token_rewards(penalty().token_kl(logp, ref, MASK), score[:, 0], MASK)
    assert not rewards.requires_grad
    penalty(estimator=K3(), placement=Loss()).loss(logp - 1, ref, old, None, MASK).backward()
    assert logp.grad is not None
    assert ref.grad is None and old.grad is None


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (K1(), 0.5),
        (K2(), 0.125),
        (K3(), 0.106531),
        (Abs(), 0.5),
        (K1Clamped(), 0.5),
        (Exact(), 0.7),
    ],
)
def test_token_kl(estimator: Estimator, expected: float) -> None:
    placement = Both() if isinstance(estimator, Exact) else Reward()
    got = penalty(estimator=estimator, placement=placement).token_kl(
        tensor([[0.5]]), tensor([[0.0]]), tensor([[True]]), tensor([[0.7]])
    )
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_exact_must_be_given() -> None:
    with pytest.raises(ValueError, match="exact_kl"):
        penalty(estimator=Exact(), placement=Both()).token_kl(
            tensor([[0.5]]), tensor([[0.0]]), tensor([[True]])
        )


def test_controller_timing() -> None:
    """The coefficient that shapes rollout i is the one read before it; the update counts from i
    + 1."""
    pieces = penalty(Adaptive(0.5, 6.0, 1000))
    shaped_with = pieces.coef
    rewards = pieces.token_rewards(KL_TOKENS, SCORE, MASK)
    torch.testing.assert_close(rewards, shaped_rewards(KL_TOKENS, SCORE, MASK, shaped_with))
    pieces.update(kl_of(12.0, 0.5))
    assert pieces.coef == pytest.approx(0.5 * 1.02)


def test_controller_once() -> None:
    """Only `update` moves the coefficient: no number of losses does."""
    pieces = penalty(Dual(0.5, 6.0, 0.1, 1e-4, 10.0), K2(), Loss())
    for _ in range(5):
        pieces.loss(KL_TOKENS, torch.zeros(2, 3), KL_TOKENS, None, MASK)
    assert pieces.coef == 0.5


def test_the_kl_that_steers_is_the_plain_log_ratio() -> None:
    """By hand: rows of 0.2 and 0.9, five tokens; what is masked does not count."""
    shaped_by = 100 * KL_TOKENS  # an estimate that the penalty is made of
    steering = penalty().steering_kl(KL_TOKENS, torch.zeros(2, 3), shaped_by, MASK)
    assert steering.sequence_nats == pytest.approx(1.1 / 2)
    assert steering.token_nats == pytest.approx(1.1 / 5)
    assert steering.episodes == 2
    assert math.isnan(steering.objective)
    assert steering.nats("sequence") == steering.sequence_nats != steering.nats("token")


def test_alpaca_farms_controller_can_be_steered_by_the_clamped_estimate() -> None:
    """By hand: log-ratios 1, -1 and 0.4, -0.2 give a KL of 0.1 nats a response; clamped, 0.7. The
    target of 0.5 lies between, so one lowers the coefficient and the other raises it."""
    logp, zeros = tensor([[1.0, -1.0], [0.4, -0.2]]), torch.zeros(2, 2)
    mask = torch.ones(2, 2, dtype=torch.bool)
    for steered_by, nats, factor in (("log_ratio", 0.1, 0.98), ("penalty", 0.7, 1.02)):
        pieces = penalty(
            AdaptiveAlpacaFarm(0.5, target=0.5, k_beta=0.1, steered_by=steered_by), K1Clamped()
        )
        clamped = pieces.token_kl(logp, zeros, mask)
        steering = pieces.steering_kl(logp, zeros, clamped, mask)
        assert steering.sequence_nats == pytest.approx(nats)
        pieces.update(steering)
        assert pieces.coef == pytest.approx(0.5 * factor)


def test_update_feeds_the_unit_that_the_controller_wants() -> None:
    by_token = penalty(Adaptive(0.5, 0.25, 1000, unit="token"))
    by_token.update(kl_of(1000.0, 0.25))  # on target per token
    assert by_token.coef == 0.5


def test_controller_resume() -> None:
    one, other = penalty(Adaptive(0.5, 6.0, 1000)), penalty(Adaptive(0.5, 6.0, 1000))
    one.update(kl_of(12.0, 0.5))
    other.load_state_dict(one.state_dict())
    assert other.coef == one.coef


def test_no_double_kl() -> None:
    with pytest.raises(ValueError, match="twice"):
        KLPenalty(Fixed(0.1), K1(), Both(), SFT())


def test_impossible_pieces_are_refused_with_every_reason() -> None:
    with pytest.raises(ValueError, match="expected gradient.*top_k=50.*falls back"):
        KLPenalty(Adaptive(0.1, 6.0, 1000), K1(), Loss(), Synced(5), top_k=50)


def test_a_path_gets_kl_and_objective_with_their_errors() -> None:
    """Responses of 0.2 and 0.9 nats and scores of 2 and -1, at the coefficient 0.5: objectives 1.9
    and -1.45. The error of a mean of two is half their distance."""
    path = Path(0.5, grid=[0.5], iterations=2, at_least=1, window=2, tolerance=1.0)
    pieces = penalty(path)
    assert pieces.path is path
    assert pieces.waits
    assert not penalty().waits
    assert penalty(Adaptive(0.5, target=2.0, horizon=30)).waits
    kl = pieces.steering_kl(KL_TOKENS, torch.zeros(2, 3), KL_TOKENS, MASK, SCORE)
    assert kl.sequence_nats == pytest.approx(0.55)
    assert kl.error == pytest.approx(0.35)
    assert kl.objective == pytest.approx((1.9 - 1.45) / 2)
    assert kl.objective_error == pytest.approx((1.9 + 1.45) / 2)
    # the same prompt twice: for two responses of one prompt the error is the same
    again = pieces.steering_kl(
        *(KL_TOKENS, torch.zeros(2, 3), KL_TOKENS, MASK, SCORE), groups=torch.tensor([0, 0])
    )
    assert again.error == pytest.approx(0.35)
    pieces.update(kl)
    assert [*path.measured] == [(kl.sequence_nats, kl.error, kl.objective, kl.objective_error)]
    pieces.update(kl)
    assert path.done
    other = penalty(Path(0.5, grid=[0.5], iterations=2, at_least=1, window=2, tolerance=1.0))
    other.load_state_dict(pieces.state_dict())
    assert other.path is not None
    assert other.path.done
