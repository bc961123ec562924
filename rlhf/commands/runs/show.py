"""rlhf show sweeps/quickstart/kl0.1-...: a run, a sweep or an artifact on one screen

By its folder, its name or the beginning of one, a hash, a fingerprint or an MLflow run id."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from rlhf.commands.parts.parser import Parser
from rlhf.rundir.secrets.redact import redact_text
from rlhf.tracking.addresses import default_uri

DESCRIPTION = """
What there is to know. Of a run: its state, in what its config differs from the defaults, the
command that makes it, reward and KL by iteration, the last evaluation, answers, what it stands on,
paths and links, how to go on. Of a sweep: its question, its jobs, the verdict of its comparison. Of
an artifact: its results, its parents, who needs it."""
EXAMPLES = {
    "rlhf show sweeps/quickstart": "a sweep: its jobs and its verdict",
    "rlhf show kl0.1-fixed": "a run, by the beginning of its name",
    "rlhf show 1a2b3c4d --json": "a run or an artifact by its hash, for a program",
}
EXIT_CODES = {0: "done", 2: "nothing is called so, or several are"}


def _parser() -> argparse.ArgumentParser:
    parser = Parser("show", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)
    option = parser.add_argument
    option(
        "what",
        help="a folder; a run's or sweep's name, a hash, a fingerprint, or how one begins; an"
        " MLflow run id",
    )
    store = default_uri()
    option(
        "--tracking-uri",
        metavar="URI",
        default=store,
        help=f"where MLflow is (default: {redact_text(store).replace('%', '%%')})",
    )
    option("--json", action="store_true", help="for a program: one JSON object on stdout")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 2 nothing is called so, or several are."""
    args = _parser().parse_args(argv)
    from rlhf.commands.parts.named import NotFound, find
    from rlhf.commands.parts.story import others, run, screen
    from rlhf.inventory import RunEntry, SweepEntry

    try:
        target = find(args.what, args.tracking_uri)
    except NotFound as error:
        print(f"rlhf show: {error}", file=sys.stderr)
        return 2
    entry = target.entry
    if isinstance(entry, RunEntry):
        kind, story = "run", run.story(entry)
    elif isinstance(entry, SweepEntry):
        kind, story = "sweep", others.of_sweep(entry)
    else:
        kind, story = "artifact", others.of_artifact(entry, target.inventory)
    if args.json:
        print(json.dumps({"is": kind, **story}, indent=2, allow_nan=False))
        return 0
    from rlhf.commands.parts.listed.tables import console

    getattr(screen, kind)(console(), entry, story)
    return 0
