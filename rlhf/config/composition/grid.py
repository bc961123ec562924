"""How many jobs a sweep's lists of values make, told without listing them, and the jobs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.types import FloatRange, IntervalSweep, Override

from rlhf.config.composition.composer import line_of
from rlhf.config.composition.hydra_internals import Hydra, grid_of
from rlhf.config.composition.overrides import Groups, parse
from rlhf.config.composition.resolve import Fault
from rlhf.config.hints.quoting import as_one_value

MOST_JOBS = 10_000
GRID = "BasicSweeper"  # Hydra's own


def count(override: Override) -> float:
    """The number of values that a sweep's override gives; 1 of one that is no sweep."""
    if override.is_interval_sweep() or not override.is_sweep_override():
        return 1
    if not override.is_range_sweep():
        return sum(1 for _ in override.sweep_iterator())
    value = override.value()
    if value.step == 0:  # type: ignore[union-attr]
        return math.inf
    values = value.range()  # type: ignore[union-attr]
    if isinstance(values, FloatRange):
        start, stop, step = (float(x) for x in (values.start, values.stop, values.step))
        steps = (stop - start) / step
        return max(0, math.ceil(steps)) if math.isfinite(steps) else math.inf
    return max(0, -((values.start - values.stop) // values.step))


def grid_faults(override: Override, groups: Groups) -> Iterator[Fault]:
    """A sweep over nothing (`kl/coef=glob(x*)`, `seed=range(3,3)`) or over more than can be run."""
    number = count(override)
    if number == 0:
        name = override.key_or_group
        has = f"; {name} has {', '.join(options)}" if (options := groups.options(name)) else ""
        yield Fault("", f"{line_of(override)}: gives no value{has}")
    if number > MOST_JOBS:
        many = f"{number:,}" if math.isfinite(number) else "endlessly many"
        yield Fault(
            "", f"{line_of(override)}: gives {many} values; a sweep has {MOST_JOBS:,} jobs at most"
        )


def searched(overrides: Sequence[Override], sweeper: str) -> Iterator[Fault]:
    """The intervals of a sweep whose sweeper takes lists of values alone."""
    for override in overrides if sweeper.endswith(f".{GRID}") else ():
        if override.is_interval_sweep():
            reason = "an interval is for a search: hydra/sweeper=find or hydra/sweeper=optuna"
            yield Fault("", f"{line_of(override)}: {reason}; or list the values")


def unasked(override: Override) -> Fault:
    """Several values in a command that is no sweep."""
    reason = f"several values make a sweep; add -m{as_one_value(override)}"
    return Fault("", f"{line_of(override)}: {reason}")


def jobs_of(
    overrides: Sequence[Override], hydra: Hydra, sweeper: str = ""
) -> tuple[list[list[Override]], list[Fault]]:
    """The jobs of a grid, as Hydra's basic sweeper makes them; of an interval (another sweeper's)
    its two ends. None and a fault where they are too many.

    Args:
        sweeper: the class that is to run them.
    """
    last = {override.get_key_element(): override for override in overrides}  # the last one counts
    number = math.prod(map(count, last.values()))
    if number > MOST_JOBS:
        lists = f"these lists of values make {number:,} jobs; a sweep has {MOST_JOBS:,} at most"
        return [], [Fault("", lists)]
    lines = [
        f"{override.get_key_element()}={value.start},{value.end}"
        if isinstance(value := override.value(), IntervalSweep)
        else line_of(override)
        for override in overrides
    ]
    jobs = grid_of(parse(lines, hydra)[0])
    each = dict.fromkeys(line for job in jobs for line in job)
    read = dict(zip(each, parse(each, hydra)[0], strict=True))
    return [[read[line] for line in job] for job in jobs], [*searched(overrides, sweeper)]
