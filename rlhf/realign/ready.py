"""What is asked of a run before its policy is realigned, and of the numbers given for it. No
torch."""

from __future__ import annotations

import math
from pathlib import Path

from rlhf.export.made import Made, NoModel, find
from rlhf.realign import WAYS, Way
from rlhf.rundir.noted import MANIFEST, POLICY, losses
from rlhf.rundir.status import is_finished, run_state

LARGEST = 1000.0


def numbers(text: str) -> list[float]:
    """The lambdas of `0,0.25,1`, each once, from the smallest up.

    Raises:
        ValueError: one is no number, or below 0.
    """
    given = [word.strip() for word in text.split(",")]
    return sorted({_number(word) for word in given})


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 <= value <= LARGEST:
        raise ValueError(
            f"lambda {word or 'without a number'}: expected a number of at least 0, at most"
            f" {LARGEST:g}; 0 is the SFT policy that the run started from, 1 the run's own, 0.5"
            " between both, 1.5 beyond"
        )
    return abs(value)


def ways(text: str) -> list[Way]:
    """`decoding`, `weights` or both, of `decoding,weights`. Raises ValueError for another word."""
    given = list(dict.fromkeys(word.strip() for word in text.split(",")))
    if odd := [word for word in given if word not in WAYS]:
        raise ValueError(f"--by {odd[0]}: expected {' or '.join(WAYS)}, or both: {','.join(WAYS)}")
    return [way for way in WAYS if way in given]


def finished(argument: str | Path) -> Made:
    """The finished run that a policy is taken from, and whose directory the curve is written to.

    Raises:
        NoModel: it is none, is not finished, or holds no policy that was trained by a KL to
            another.
    """
    made = find(argument)
    if made.stage != "ppo":
        made.folder("policy")  # of a reward model it is said that it holds none
        raise NoModel(
            f"{made.directory} is an SFT policy: there is nothing between it and itself. Name a run"
            " that began from it"
        )
    if made.is_artifact:
        if made.run is None or not is_finished(made.run):
            raise NoModel(f"the run of {made.directory} is not on this disk: name a finished run")
        made = find(made.run)
    if not is_finished(made.directory):
        state = run_state(made.directory).state
        raise NoModel(
            f"{made.directory} is not finished but {state}: the same command that began it ends it"
        )
    made.folder("policy")
    lost = losses(made.directory)
    if odd := [words for name, words in lost.items() if name.startswith((f"{POLICY}/", MANIFEST))]:
        raise NoModel(f"{made.directory}: {odd[0]} when the run ended")
    return made


def start_of(made: Made) -> Path:
    """The folder of the SFT policy that a run started from.

    Raises:
        NoModel: it is not on this disk any more.
    """
    if place := made.artifact("sft"):
        return place
    raise NoModel(
        f"the SFT policy {made.prints.get('sft')} that {made.directory} started from is not on this"
        " disk any more: without it there is nothing to mix its policy with"
    )
