"""What is wrong with a scorer although each of its settings is right by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.arguments import missing_eos_fault
from rlhf.config.build import user_function
from rlhf.config.composition.judged.code import code_of
from rlhf.config.composition.walk import Fault
from rlhf.config.pieces.scorer import (
    CombinedScorer,
    EnsembleScorer,
    FunctionScorer,
    Rules,
    parts_of,
)
from rlhf.rewards.checks import function_fault, parts_faults


def scorer_faults(scorer: Any) -> Iterator[Fault]:
    """Of the scorer and its parts: rules that cannot be followed, parts and weights that do not go
    together, functions that cannot be called."""
    if isinstance(scorer, CombinedScorer):
        parts = scorer.parts
        ensembles = [name for name, part in parts.items() if isinstance(part, EnsembleScorer)]
        for key, reason in parts_faults(parts, scorer.weights, scorer.how, ensembles):
            yield Fault(f"scorer.{key}", reason)
    every = {"scorer": scorer} | parts_of(scorer)
    for where, part in every.items():
        if isinstance(part, Rules) and (
            fault := missing_eos_fault(part.missing_eos, part.missing_eos_value)
        ):
            yield Fault(f"{where}={part.name}", fault)
        if isinstance(part, FunctionScorer):
            yield from _function(where, part)


def _function(where: str, scorer: FunctionScorer) -> Iterator[Fault]:
    key = f"{where}.function={scorer.function}"
    try:
        function = user_function(scorer.function)
    except ValueError as error:
        yield Fault(key, str(error))
        return
    if reason := function_fault(function, scorer.arguments):
        yield Fault(key, reason)
    if scorer.code and scorer.code != (now := code_of([scorer.function])):
        yield Fault(
            key,
            f"its code is not that of the config, which was kept with {scorer.code}; now it is"
            f" {now}: go back to that code, or give the command again for a run of its own",
        )
