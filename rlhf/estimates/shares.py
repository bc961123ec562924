"""What one of several devices holds of a stage's peak: its part of the rows, and under fsdp of the
networks."""

from __future__ import annotations

from dataclasses import replace

from rlhf.config.schema import Trainer
from rlhf.estimates.memory import BYTES, Peak, Term
from rlhf.estimates.passes import Rows

DIVIDED = (  # by fsdp; adapters and heads are whole on every device
    *("weights that are trained", "weights that are frozen", "weights of the policy that draws"),
    *("gradients", "the optimizer's moments", "the optimizer's step", "weights in 16 bits"),
)


def rows_of_one(rows: Rows, trainer: Trainer) -> Rows:
    """A device's rows of those that all read together."""
    return replace(rows, count=-(-rows.count // trainer.ranks))


def peak_of_one(peak: Peak, trainer: Trainer, parameters: int) -> Peak:
    """A device's part of a peak whose rows are its own already.

    Under fsdp the policy, of so many parameters, is put together where responses are drawn, in 16
    bits under bf16-mixed; it is counted beside whatever the peak is.
    """
    if trainer.strategy != "fsdp" or trainer.ranks == 1:
        return peak
    terms = [
        replace(term, size=term.size / trainer.ranks) if term.name in DIVIDED else term
        for term in peak.terms
    ]
    if peak.stage == "ppo":
        whole = (2 if trainer.precision == "bf16-mixed" else BYTES) * parameters
        terms.append(Term("the policy put together", float(whole)))
    return replace(peak, terms=tuple(terms), mapped=0.0)


def of_a_machine(peak: Peak, processes: int) -> Peak:
    """Of so many processes that share a machine's memory: frozen weights in a file lie there once
    for all."""
    if processes == 1:
        return peak
    more = (processes - 1) * (peak.size - peak.mapped)
    name = f"{processes - 1} more process{'es' if processes > 2 else ''}"
    return replace(peak, terms=(*peak.terms, Term(name, more)))
