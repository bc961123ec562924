"""The properties of the KL pieces that rules ask for, of a user's own piece too. Torch-free.

A piece declares its properties in the class attribute `properties`. One that declares none is taken
for what its class shows, and where that says nothing for what needs more care: a controller with a
`target` is steered by the KL and multiplies, an estimator needs samples of the policy.

Which divergence a penalty's gradient descends (`EstimatorProperties.descends`) holds for tokens
drawn from pi, with gamma = lam = 1, nothing whitened or clipped, aggregation=sequence_sum.
d = logp - ref_logp of a token, D = sum_t d_t of a response, "KL" is KL(pi || ref), "forward KL" is
KL(ref || pi). The gradient is

    in the reward    E[sum_t (sum_{s>=t} kl_s) grad logp_t]   the score-function part of
                                                              E[sum_t kl_t]
    in the loss      E[sum_t grad kl_t]                       each token by itself: the KL that
                                                              it causes later is dropped
    in both          the sum of the two
    sequence_loss    E[grad kl(D)]                            a response is one draw: nothing
                                                              is dropped

"Exactly" says that the tests (tests/kl/test_gradients.py, tests/modules/test_exact.py) hold it by
enumeration. Off policy: `token_weights` and `sequence_weights` of rlhf.kl.placement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

P = TypeVar(
    "P", "ControllerProperties", "EstimatorProperties", "PlacementProperties", "ReferenceProperties"
)
Kind = Literal["reward", "loss", "sequence_loss", "both"]

COUNTED_TWICE = (
    "it would count the KL twice; only exact needs both (its own term in the loss, the future's in"
    " the reward)."
)
UNKNOWN = "not known: a piece of the user's own"


@dataclass(frozen=True, kw_only=True)
class ControllerProperties:
    """How a controller moves the coefficient."""

    name: str
    follows_kl: bool = False  # sampled log-ratios steer it towards a target
    multiplies: bool = False  # a coefficient of 0 stays 0
    constant: bool = False  # the coefficient stays where it starts
    walks: bool = False  # through points, which end when KL and objective have settled


@dataclass(frozen=True, kw_only=True)
class EstimatorProperties:
    """The conditions of an estimate, and the effect of its gradient in each kind of placement."""

    name: str
    needs_policy_samples: bool = True  # it holds only for tokens drawn from the policy itself
    takes_exact: bool = False  # it may read the exact KL at each prefix
    refused: Mapping[Kind, str] = field(default_factory=lambda: {"both": COUNTED_TWICE})
    descends: Mapping[Kind, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlacementProperties:
    """Where a penalty acts."""

    name: str
    in_reward: bool = False
    in_loss: bool = False
    of_sequence: bool = False  # of the whole response's log-ratio instead of each token's
    weighted: bool = True  # in the loss a sampled estimate is times rho

    @property
    def kind(self) -> Kind:
        if self.in_reward:
            return "both" if self.in_loss else "reward"
        return "sequence_loss" if self.of_sequence else "loss"


@dataclass(frozen=True, kw_only=True)
class ReferenceProperties:
    """How the reference moves while the policy trains."""

    name: str
    moves: bool = False
    restarts: bool = False  # it becomes the policy itself now and then, and the KL is 0 again
    averages: bool = False  # it is a mean of weights, which no adapter can be: see rules.py


def descends(estimator: EstimatorProperties, placement: PlacementProperties) -> str:
    """The divergence that the gradient of this estimate in this place descends."""
    return estimator.descends.get(placement.kind, UNKNOWN)


# --- what a piece shows


def controller_properties(
    piece: object, arguments: Mapping[str, Any] | None = None
) -> ControllerProperties:
    """Of a controller or its class; `arguments` are those that its config gives."""
    target = (arguments or {}).get("target", getattr(piece, "target", None))
    steered = target is not None
    return _declared(piece, ControllerProperties) or ControllerProperties(
        name=_name(piece), follows_kl=steered, multiplies=steered
    )


def estimator_properties(piece: object) -> EstimatorProperties:
    """Of an estimator or its class. One that says nothing of itself may read all that it gets."""
    return _declared(piece, EstimatorProperties) or EstimatorProperties(
        name=_name(piece), takes_exact=True
    )


def placement_properties(piece: object) -> PlacementProperties:
    """Of a placement or its class."""
    names = ("in_reward", "in_loss", "of_sequence", "weighted")
    shown = {name: bool(getattr(piece, name, name == "weighted")) for name in names}
    return _declared(piece, PlacementProperties) or PlacementProperties(name=_name(piece), **shown)


def reference_properties(piece: object) -> ReferenceProperties:
    """Of a reference or its class."""
    return _declared(piece, ReferenceProperties) or ReferenceProperties(
        name=_name(piece), moves=bool(getattr(piece, "moves", True))
    )


def _declared(piece: object, kind: type[P]) -> P | None:
    properties = getattr(piece, "properties", None)
    return properties if isinstance(properties, kind) else None


def _name(piece: object) -> str:
    return piece.__name__ if isinstance(piece, type) else type(piece).__name__


# --- ours, by their YAML names


def _by_name(*pieces: P) -> dict[str, P]:
    return {piece.name: piece for piece in pieces}


CONTROLLERS = _by_name(
    ControllerProperties(name="fixed", constant=True),
    *(ControllerProperties(name=name) for name in ("linear", "cosine")),
    ControllerProperties(name="path", walks=True),
    *(
        ControllerProperties(name=name, follows_kl=True, multiplies=True)
        for name in ("adaptive", "adaptive_alpaca_farm", "pid", "dual")
    ),
)

PLACEMENTS = _by_name(
    PlacementProperties(name="reward", in_reward=True),
    PlacementProperties(name="loss", in_loss=True),
    PlacementProperties(name="loss_without_ratio", in_loss=True, weighted=False),
    PlacementProperties(name="sequence_loss", in_loss=True, of_sequence=True),
    PlacementProperties(name="both", in_reward=True, in_loss=True),
)

REFERENCES = _by_name(
    ReferenceProperties(name="sft"),
    ReferenceProperties(name="ema", moves=True, averages=True),
    ReferenceProperties(name="synced", moves=True, restarts=True),
)

ESTIMATORS = _by_name(
    EstimatorProperties(
        name="k1",
        refused={
            "both": COUNTED_TWICE,
            "loss": ("the expected gradient of k1 is zero; put it in the reward, or use k2 or k3."),
            "sequence_loss": (
                "its expected gradient is zero; use k2, whose gradient is that of the sequence KL."
            ),
        },
        descends={"reward": "the sequence KL, exactly"},
    ),
    EstimatorProperties(
        name="k2",
        descends={
            "reward": (
                "no divergence: the score-function part of E[sum_t d²/2], weak near the reference"
            ),
            "loss": "the KL of each token, without the KL that it causes later",
            "sequence_loss": "the sequence KL, exactly",
        },
    ),
    EstimatorProperties(
        name="k3",
        descends={
            "reward": (
                "no divergence: near the KL minus the forward KL, so almost nothing near the"
                " reference"
            ),
            "loss": "the forward KL of each token, without what it causes later",
            "sequence_loss": (
                "the forward KL of the sequences, exactly where D >= -20 (k3 is clamped below)"
            ),
        },
    ),
    EstimatorProperties(
        name="abs",
        descends={
            "reward": "no divergence: the score-function part of E[sum_t |d|]",
            "loss": "twice the total variation of each token, without what it causes later",
            "sequence_loss": "twice the total variation of the sequences",
        },
    ),
    EstimatorProperties(
        name="k1_clamped",
        refused={
            "both": COUNTED_TWICE,
            "loss": (
                "its gradient pushes every token above the reference alike, however far it is"
                " (that of the total variation, not of a KL); put it in the reward, or use k2"
                " or k3."
            ),
            "sequence_loss": (
                "its gradient is that of the total variation, not of a KL; use k2, or put it in"
                " the reward."
            ),
        },
        descends={"reward": "no divergence: the score-function part of E[sum_t max(d, 0)]"},
    ),
    EstimatorProperties(
        name="exact",
        needs_policy_samples=False,
        takes_exact=True,
        refused={
            "reward": (
                "a token's exact KL does not depend on the token that was drawn, so its own"
                " term would get no gradient; use kl/placement=both."
            ),
            "loss": (
                "the KL that a token causes later would get no gradient; use kl/placement=both."
            ),
            "sequence_loss": (
                "it is a sum over one token's vocabulary, and a response has none; use k2, or"
                " kl/placement=both."
            ),
        },
        descends={"both": "the sequence KL, exactly, with less variance than k1 in the reward"},
    ),
)
