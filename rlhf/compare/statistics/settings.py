"""The keys that a sweep varied, and its runs grouped by them: a setting is everything that differs
but the seed."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf.compare.read import Run, final, final_se, fingerprints, series, value
from rlhf.compare.read.differing import ABSENT, ALGORITHM, brought, differing, plain
from rlhf.compare.statistics.means import NOTHING, Estimate, over_runs, same_thing
from rlhf.metrics import AVERAGED, ENDED, GOLD, PROXY
from rlhf.rundir.read import number
from rlhf.rundir.status import read_status

UNENDED = 0.5  # share of responses without EOS
FEWER = 0.5  # with EOS, over SFT's share: data whose responses are cut anyway are no sickness


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The finished runs of one setting and what they came to."""

    # kl.controller=adaptive kl.coef=0.05; of several algorithms without what each brings
    label: str
    short: str  # the same without what all settings of the sweep share in naming: 0.05
    values: dict[str, Any]
    runs: tuple[Run, ...]  # one a seed
    copies: tuple[Run, ...] = ()  # of the same seeds again, in no number
    estimates: dict[str, Estimate] = field(default_factory=dict)  # by summary key
    sft: dict[str, Estimate] = field(default_factory=dict)  # rewards of the policy it started from

    def __getitem__(self, key: str) -> Estimate:
        return self.estimates.get(key, NOTHING)

    @property
    def never_ends(self) -> bool:
        """Whether that is so of most of its runs."""
        return 2 * sum(map(never_ends, self.runs)) > len(self.runs)


def never_ends(run: Run) -> bool:
    """Whether most of the final policy's responses to held-out prompts have no EOS, and fewer than
    half as many have one as of SFT's."""
    ended = series(run, f"eval/{ENDED}")
    if not ended:
        return False
    start, end = ended[0][1], ended[-1][1]
    return 1 - end > UNENDED and end < FEWER * start


def ending(settings: Sequence[Setting]) -> Sequence[Setting]:
    """The settings whose responses end; all where none's do. Only these are called best: gold reads
    what is there, and does not see that a response never ended."""
    return [s for s in settings if not s.never_ends] or settings


def group(runs: Sequence[Run]) -> list[Setting]:
    """The settings of a sweep's finished runs, in the order of their values. A seed counts once:
    its run that finished last."""
    finished = [run for run in runs if run.finished]
    table = differing(finished)
    groups: dict[str, list[Run]] = {}
    for run in finished:
        groups.setdefault(
            plain([column.get(run.name, ABSENT) for column in table.values()]), []
        ).append(run)
    settings = [_setting(members, table) for members in groups.values()]
    return sorted(settings, key=lambda s: [order(v) for v in s.values.values()])


def copied(settings: Sequence[Setting]) -> dict[str, str]:
    """Name of each copy -> name of the run of its seed that counts."""
    return {
        copy.name: run.name
        for s in settings
        for copy in s.copies
        for run in s.runs
        if _seed(run) == _seed(copy)
    }


def starts(settings: Sequence[Setting]) -> list[list[Setting]]:
    """The settings by the SFT policy that their KL is to: those with one in common together. One
    that does not say is with the first."""
    groups: list[tuple[set[str], list[Setting]]] = []
    for s in settings:
        own = set(fingerprints(s.runs).get("sft", ()))
        prints, members = next(
            (group for group in groups if not own or not group[0] or own & group[0]), (set(), [])
        )
        if not members:
            groups.append((prints, members))
        prints |= own
        members.append(s)
    return [members for _, members in groups]


def reward_keys(runs: Sequence[Run]) -> list[str]:
    """The rewards that the runs report: proxy, gold, then the judges by name."""
    reported = {
        k
        for run in runs
        for k in run.summary
        if k.startswith("reward/") and not k.endswith("_se") and number(run.summary[k]) is not None
    }
    return sorted(reported, key=lambda k: (k != PROXY, k != GOLD, k))


def label_of(setting: Setting, run: Run) -> str:
    """kl.coef=0.1, seed 0"""
    seed = run.config.get("seed")
    return setting.label + (f", seed {seed}" if seed is not None else "")


def _seed(run: Run) -> str:
    """Equal for copies of one run. Runs that do not say their seed have none."""
    seed = run.config.get("seed", run.summary.get("seed"))
    return plain([seed] if seed is not None else str(run.directory.resolve()))


def _ended(run: Run) -> float:
    """Unix seconds of the last sign of life, -inf if it left none."""
    seconds = value(read_status(run.directory), "time")
    return -math.inf if math.isnan(seconds) else seconds


def _setting(members: list[Run], table: dict[str, dict[str, Any]]) -> Setting:
    last: dict[str, Run] = {}
    for run in sorted(members, key=_ended, reverse=True):
        last.setdefault(_seed(run), run)
    runs = [run for run in members if last[_seed(run)] is run]
    name = runs[0].name
    values = {key: of_runs[name] for key, of_runs in table.items() if name in of_runs}
    rewards = reward_keys(runs)
    implied = brought(table).get(values.get(ALGORITHM, ""), {})
    shown = {
        key: show_value(v, table[key].values())
        for key, v in values.items()
        if v != ABSENT and key not in implied
    }
    if not values:
        shown = {"kl.coef": show_value(runs[0].summary.get("kl.coef"))}
    label = " ".join(f"{k}={v}" for k, v in shown.items()) or f"without {', '.join(values)}"
    return Setting(
        label=label,
        short=" ".join(shown.values()) or label,
        values=values,
        runs=tuple(runs),
        copies=tuple(run for run in members if last[_seed(run)] is not run),
        estimates={key: over_runs(*column(runs, key)) for key in (*rewards, *AVERAGED)},
        sft={key: same_thing(*column(runs, f"sft/{key}")) for key in rewards},
    )


def column(runs: Sequence[Run], key: str) -> tuple[list[float], list[float]]:
    """The runs' final numbers, and their own standard errors."""
    return [final(run, key) for run in runs], [final_se(run, key) for run in runs]


def show_value(value: Any, among: Collection[Any] = ()) -> str:
    """In few digits and without what cannot be printed; in full where two of the values `among`
    would then look the same."""
    if len({_brief(v) for v in among}) < len({plain(v) for v in among}):
        return plain(value)
    return _brief(value)


def _brief(value: Any) -> str:
    if isinstance(value, list) and len(value) > 2:
        return f"[{_brief(value[0])}, ... {len(value) - 2} more, {_brief(value[-1])}]"
    text = f"{value:g}" if isinstance(value, float) else "null" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text)


def order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then the rest by name."""
    size = number(value)
    return (1, 0.0, str(value)) if size is None or math.isnan(size) else (0, size, "")
