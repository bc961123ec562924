"""rlhf select sweeps/quickstart --kl 5: the policy of a frontier for a purpose

Chosen among trained runs, points of KL paths and realigned policies; with its interval, its cost
and what would be next."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.commands.parts.parser import Parser
from rlhf.rundir.streams import on_screen

if TYPE_CHECKING:
    from rlhf.compare.choice.candidates import Candidate
    from rlhf.compare.choice.criteria import Choice
    from rlhf.compare.statistics import Study

DESCRIPTION = """
Chooses a policy of the runs in these places: sweeps, runs, KL paths with all their points, folders
of runs, with the realigned policies that `rlhf realign` has measured. A setting's numbers are means
over its seeds with 95 % intervals (Student's t); of one seed those of its evaluation. Without a
rule it lists what there is. Policies whose responses never end are left out."""
EXAMPLES = {
    "rlhf select sweeps/quickstart": "what there is to choose from",
    "rlhf select sweeps/quickstart --kl 5": "the policy at a KL of 5 nats",
    "rlhf select sweeps/quickstart --knee --export DIR": "where more KL buys less, as a model",
}
EXIT_CODES = {
    0: "done",
    1: "no run has finished, or the export failed",
    2: "the arguments are wrong, or nothing can be chosen by this rule",
}
PLACE = """a sweep, a run or a path, by its folder, its name or how that begins; or a folder of
runs"""


def _parser() -> argparse.ArgumentParser:
    parser = Parser("select", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)
    option = parser.add_argument
    option("places", type=Path, nargs="+", metavar="place", help=PLACE)
    rules = parser.add_mutually_exclusive_group()
    rule = rules.add_argument
    rule(
        "--kl",
        type=float,
        metavar="NATS",
        help="the policy whose KL is nearest to this: its 95 %% interval, cut to its mean ± a fifth"
        " of NATS, holds it, or else ends nearest to it; of those that do the one with the most"
        " reward",
    )
    rule(
        "--gold-at-most-kl",
        type=float,
        metavar="NATS",
        help="the most gold reward among those whose mean KL is at most this",
    )
    rule(
        "--knee",
        action="store_true",
        help="where more KL begins to buy less: of SFT and the policies that have more reward than"
        " all with less KL, with both axes scaled to 0 .. 1, the one furthest above the straight"
        " line between the ends (Kneedle); its interval by drawing prompts and seeds anew",
    )
    rule(
        "--before-gold-falls",
        action="store_true",
        help="the largest KL of those whose gold reward is below the most by no more than the"
        " standard error of their difference",
    )
    option("--reward", metavar="NAME", help="that decides: gold, proxy, a judge; by default gold")
    option("--export", type=Path, metavar="DIR", help="write it there, as rlhf export does")
    option("--json", action="store_true", help="for a program: one JSON object on stdout")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 1 no run has finished, or the export failed; 2 nothing to choose."""
    args = _parser().parse_args(argv)
    from rlhf.commands.parts.named import Ambiguous, sweeps_of

    try:
        args.places = sweeps_of(args.places)
    except Ambiguous as error:
        return _refuse(error)
    if fault := _fault(args):
        return _refuse(fault)
    from rlhf.compare.choice.candidates import candidates, left_out
    from rlhf.compare.choice.criteria import NoChoice
    from rlhf.compare.read.runs import gather, home
    from rlhf.compare.statistics.study import study as study_of

    runs = gather(args.places)
    study = study_of(home(runs), runs)
    every = candidates(study)
    if not every:
        states = ", ".join(f"{run.name} is {run.status}" for run in runs[:3])
        some = f": {states}" if runs else f" in {', '.join(map(str, args.places))}"
        return _refuse(f"no finished run with a KL{some}", 1)
    for sentence in left_out(study):
        print(sentence, file=sys.stderr)
    if not _rule(args):
        return _list(study, every, args)
    try:
        choice = _chosen(study, every, args)
    except NoChoice as error:
        return _refuse(error)
    _show(choice, study, args)
    return _export(choice, args) if args.export else 0


def _rule(args: argparse.Namespace) -> bool:
    numbers = args.kl is not None or args.gold_at_most_kl is not None
    return bool(numbers or args.knee or args.before_gold_falls)


def _fault(args: argparse.Namespace) -> str:
    """What is wrong with the arguments alone, before a run is read."""
    for flag, kl in (("--kl", args.kl), ("--gold-at-most-kl", args.gold_at_most_kl)):
        if kl is not None and not (math.isfinite(kl) and kl > 0):
            return f"{flag} {kl:g}: expected a number of nats above 0"
    if args.export and not _rule(args):
        return (
            "--export takes what a rule chooses: --kl, --gold-at-most-kl, --knee or"
            " --before-gold-falls"
        )
    if args.export:
        from rlhf.export.made import Taken, check_free

        try:
            check_free(args.export)
        except Taken as error:
            return str(error).replace("--to", "--export")
    gone = next((place for place in args.places if not place.is_dir()), None)
    if gone is None:
        return ""
    from rlhf.config.messages import did_you_mean

    beside = gone.parent if gone.parent.is_dir() else Path()
    near = [p.name for p in sorted(beside.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    return f"{gone} is no directory{did_you_mean(gone.name, near)}"


def _chosen(study: Study, every: Sequence[Candidate], args: argparse.Namespace) -> Choice:
    from rlhf.compare.choice import criteria

    if args.gold_at_most_kl is not None:
        key = criteria.gold_key(study, every, args.reward, "--gold-at-most-kl")
        return criteria.at_most(every, key, args.gold_at_most_kl)
    if args.before_gold_falls:
        key = criteria.gold_key(study, every, args.reward, "--before-gold-falls")
        return criteria.before_fall(every, key)
    key = criteria.deciding(study, every, args.reward)
    return criteria.at_kl(every, key, args.kl) if args.kl else criteria.at_knee(study, every, key)


def _list(study: Study, every: Sequence[Candidate], args: argparse.Namespace) -> int:
    """What there is to choose from."""
    from rlhf.compare.choice import criteria, words

    if args.json or args.reward:
        try:
            key = criteria.deciding(study, every, args.reward)
        except criteria.NoChoice as error:
            return _refuse(error)
    if args.json:
        _print_json({"candidates": [words.described(c, study, key) for c in every]})
        return 0
    from rich.table import Table

    from rlhf.compare.terminal import fitting, wide_console

    console = wide_console()
    head, rows = fitting(*words.table(study, every), console.width)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        side = "left" if name in ("policy", "kind") else "right"
        grid.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        grid.add_row(*(cell.replace("[", "\\[") for cell in row))
    console.print(grid)
    below = (
        "± is half of the 95 % interval. Choose with --kl NATS, --gold-at-most-kl NATS, --knee or"
        " --before-gold-falls; --export DIR writes what was chosen."
    )
    print(f"\n{on_screen(below, sys.stdout)}")
    return 0


def _show(choice: Choice, study: Study, args: argparse.Namespace) -> None:
    from rlhf.compare.choice import words
    from rlhf.compare.choice.refine import refinement

    finer = refinement(choice.chosen, study.paths, choice.target)
    if args.json:
        _print_json(words.as_json(choice, study, finer))
        return
    (rule, label), *rows = words.lines(choice, study, finer)
    width = max(len(name) for name, _ in rows)
    print(f"{rule}: {label}")
    for name, text in rows:
        print(on_screen(f"  {name:<{width}}  {text}", sys.stdout))


def _export(choice: Choice, args: argparse.Namespace) -> int:
    """What `rlhf export` does with the policy."""
    from rlhf.commands.models import export
    from rlhf.compare.choice.words import export_words

    sys.stdout.flush()
    policy = choice.chosen.best(choice.key)
    return export.main(export_words(choice.chosen, policy, args.export))


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def _refuse(reason: object, code: int = 2) -> int:
    print(f"rlhf select: {reason}", file=sys.stderr)
    return code
