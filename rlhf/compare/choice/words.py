"""A choice in words, and as JSON."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.compare.choice.candidates import Candidate, Policy
from rlhf.compare.choice.criteria import Choice
from rlhf.compare.choice.refine import Refinement
from rlhf.compare.read import named
from rlhf.compare.statistics import EVALUATION, LIKE, SEEDS, Interval, Study, brief, say
from rlhf.compare.text import costs
from rlhf.config.naming import number
from rlhf.metrics import COSTS, CPU_SECONDS, KL
from rlhf.rundir.words import plural

Line = tuple[str, str]  # its name, what it says


def export_words(candidate: Candidate, policy: Policy, to: Path | None = None) -> list[str]:
    """The arguments with which `rlhf export` makes a directory of a policy."""
    words = [shown_path(policy.run.directory), *(["--to", str(to)] if to is not None else [])]
    if candidate.share is None:
        return words
    return [*words, "--realign", f"lambda={number(candidate.share)}", "--by", candidate.by]


def commands(candidate: Candidate, policy: Policy) -> dict[str, str]:
    """Name -> the command that uses the policy. There is no talking to a realigned one before it is
    exported."""
    talk = ["rlhf", "sample", shown_path(policy.run.directory)]
    export = ["rlhf", "export", *export_words(candidate, policy)]
    trained = {"sample": shlex.join(talk)} if candidate.share is None else {}
    return {**trained, "export": shlex.join(export)}


def lines(choice: Choice, study: Study, refinement: Refinement | None) -> list[Line]:
    """What was chosen: where it is, its numbers, its cost, what would be next, how it is used."""
    chosen, policy = choice.chosen, choice.chosen.best(choice.key)
    rows = [(choice.rule[:1].upper() + choice.rule[1:], chosen.label)]
    rows += [("policy", _where(chosen, policy, choice.key)), ("KL", _nats(chosen.interval(KL)))]
    rows += [
        (named(key), sure(chosen.interval(key)))
        for key in sorted(study.rewards, key=lambda k: k != choice.key)
        if math.isfinite(chosen.mean(key))
    ]
    rows += [("cost", cost(chosen, policy))]
    rows += [("knee", _knee(choice))] if choice.knee is not None else []
    rows += [("next best", _following(choice))]
    rows += [("note", note) for note in choice.notes]
    rows += [(name, command) for name, command in commands(chosen, policy).items()]
    return rows + ([("refine", _refine(refinement))] if refinement is not None else [])


def table(study: Study, every: Sequence[Candidate]) -> tuple[list[str], list[list[str]]]:
    """What there is to choose from, by its KL."""
    keys = [key for key in study.rewards if any(math.isfinite(c.mean(key)) for c in every)]
    paid = [key for key in COSTS if any(math.isfinite(_own_cost(c, key)) for c in every)]
    head = ["policy", "kind", "seeds", "KL (nats)", *map(named, keys)]
    return [*head, *(costs.COLUMNS[key] for key in paid)], [
        [
            *(c.label, c.kind, str(len(c.policies))),
            *(brief(c.interval(key)) for key in (KL, *keys)),
            *(costs.shown(key, _own_cost(c, key)) for key in paid),
        ]
        for c in every
    ]


def _own_cost(candidate: Candidate, key: str) -> float:
    """Of a realigned policy its curve's CPU seconds alone: it comes after a run."""
    if candidate.share is None:
        return candidate.cost(key)
    return candidate.curve_seconds if key == CPU_SECONDS else math.nan


def sure(i: Interval) -> str:
    """1.57 (1.45 to 1.69), over 3 seeds, for prompts like these"""
    if not i.known:
        return f"{say(i)}, of unknown error"
    where = f", over {plural(i.n, 'seed')}" if i.source == SEEDS else ""
    where += ", of one seed's evaluation alone" if i.source == EVALUATION else ""
    return f"{say(i)}{where}" + (", for prompts like these" if i.prompts == LIKE else "")


def cost(candidate: Candidate, policy: Policy) -> str:
    """40 iterations, 12 CPU seconds, 320 responses; of a realigned policy those of its curve, after
    those of the run."""
    known = [
        f"{costs.shown(key, policy.cost[key])} {costs.COLUMNS[key]}"
        for key in COSTS
        if math.isfinite(policy.cost.get(key, math.nan))
    ]
    spent = ", ".join(known) or "not recorded"
    if candidate.share is None:
        return spent
    seconds = candidate.curve_seconds
    spent_on = costs.shown(CPU_SECONDS, seconds)
    own = f"{spent_on} CPU seconds for all λ" if spent_on else "not recorded"
    return f"{own}, after {policy.run.name} ({spent})"


def shown_path(path: Path) -> str:
    """From here, where that is shorter."""
    return min(str(path), os.path.relpath(path), key=len)


def _where(chosen: Candidate, policy: Policy, key: str) -> str:
    many = len(chosen.policies)
    seed = policy.run.config.get("seed")
    which = f"seed {seed}" if seed is not None else "one run"
    several = f", of {many} seeds the one with the most {named(key)}" if many > 1 else ""
    mixed = f", at λ {chosen.share:g}" if chosen.share is not None else ""
    return f"{shown_path(policy.run.directory / 'policy')}{mixed} ({which}{several})"


def _nats(i: Interval) -> str:
    ends, comma, rest = sure(i).partition(",")
    return f"{ends} nats per response{comma}{rest}"


def _knee(choice: Choice) -> str:
    bend = choice.knee
    assert bend is not None
    return (
        f"between {bend.low:.3g} and {bend.high:.3g} nats in 95 % of 1000 draws of {bend.over};"
        f" this policy in {100 * bend.share:.0f} % of them"
    )


def _following(choice: Choice) -> str:
    following, difference = choice.following, choice.difference
    if following is None or difference is None:
        return "none: there is no other"
    i = difference.interval
    less = i if i.mean >= 0 else Interval(-i.mean, -i.high, -i.low, i.n, i.source, i.prompts)
    word = "less" if i.mean >= 0 else "more"
    clear = "" if i.clear_of_zero else ", which is not clear"
    clear = clear if i.known else ", of unknown error"
    return (
        f"{following.label} at {say(following.interval(KL))} nats, with {say(less)} {word}"
        f" {named(choice.key)}{clear}"
    )


def _refine(refinement: Refinement) -> str:
    before = "" if refinement.whole else " (with the settings of the path's own command)"
    return (
        f"{refinement.command}{before}: a point of the path of seed {refinement.seed} between"
        f" {refinement.low:.3g} and {refinement.high:.3g} nats"
    )


def as_json(choice: Choice, study: Study, refinement: Refinement | None) -> dict[str, Any]:
    """The same for a program."""
    following, difference, bend = choice.following, choice.difference, choice.knee
    policy = choice.chosen.best(choice.key)
    return {
        "rule": choice.rule,
        "reward": choice.key,
        "chosen": described(choice.chosen, study, choice.key),
        "next": None if following is None else described(following, study, choice.key),
        "difference": None if difference is None else _ends(difference.interval),
        "knee": None
        if bend is None
        else {
            **{"low": bend.low, "high": bend.high, "share": bend.share, "draws_of": bend.over},
            "above_chord": _finite(bend.above[bend.at]),
        },
        "notes": list(choice.notes),
        "commands": commands(choice.chosen, policy),
        "refine": None
        if refinement is None
        else {
            **{"coef": refinement.coef, "command": refinement.command, "whole": refinement.whole},
            "seed": refinement.seed,
            "between_nats": [refinement.low, refinement.high],
        },
    }


def described(candidate: Candidate, study: Study, key: str) -> dict[str, Any]:
    """A candidate with its numbers, its cost and the places of its policies; the first is the one
    with the most of the reward `key`."""
    best = candidate.best(key)
    rest = [p for p in candidate.policies if p is not best]
    return {
        "label": candidate.label,
        "kind": candidate.kind,
        "lambda": candidate.share,
        "by": candidate.by or None,
        "policies": [
            {
                "run": p.run.name,
                "directory": str(p.run.directory),
                "policy": str(p.run.directory / "policy"),
                "seed": p.run.config.get("seed"),
            }
            for p in (best, *rest)
        ],
        KL: _ends(candidate.interval(KL)),
        **{
            k: _ends(candidate.interval(k))
            for k in study.rewards
            if math.isfinite(candidate.mean(k))
        },
        "cost": {
            **{k: _finite(candidate.cost(k)) for k in COSTS},
            "curve_cpu_seconds": _finite(candidate.curve_seconds),
        },
    }


def _ends(i: Interval) -> dict[str, Any]:
    ends = {"mean": _finite(i.mean), "low": _finite(i.low), "high": _finite(i.high)}
    return {**ends, "runs": i.n, "of": i.source, "prompts": i.prompts}


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
