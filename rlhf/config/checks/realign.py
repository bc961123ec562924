"""What a run's policy cannot be realigned with (rlhf.realign)."""

from __future__ import annotations

from collections.abc import Iterator

from rlhf.config.composition.resolve import Fault
from rlhf.config.properties import kl_properties
from rlhf.config.schema import KL, Realign

SECTIONS = ("realign", "kl")


def faults(realign: Realign, kl: KL) -> Iterator[Fault]:
    """A reference that moves, where the mixtures are to be measured at the run's end."""
    if not realign.lambdas:
        return
    if reason := reference_fault(kl):
        yield Fault("", f"{reason}, or realign=none")


def reference_fault(kl: KL) -> str | None:
    """Why a policy has no mixtures with the reference that its KL is measured from; None where it
    has, or where that is asked elsewhere."""
    try:
        reference = kl_properties(kl)["reference"]
    except ValueError:  # a class of the user's own that cannot be had
        return None
    if not reference.moves:
        return None
    return (
        f"kl/reference={reference.name} moves while the policy trains: realigning mixes the policy"
        " with the SFT policy that the run starts from, which is not what its KL is held to;"
        " expected kl/reference=sft"
    )
