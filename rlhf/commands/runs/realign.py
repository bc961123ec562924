"""rlhf realign sweeps/quickstart/kl0.1-...: one run's policy, mixed with its SFT policy

KL and rewards of the policies between both and beyond, without training: by decoding with both
models, or by weights."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlhf.commands.parts.parser import WORD, Parser
from rlhf.config.allow import add_option, allow
from rlhf.realign import WAYS

if TYPE_CHECKING:
    from rlhf.config.schema import Realign

DESCRIPTION = """
Measures policies between the SFT policy that a run started from (lambda 0) and the policy that it
ended with (lambda 1), and beyond it, on the run's held-out prompts, and writes realign.json into
the run's directory. By decoding, each token is drawn from ref^(1 - lambda) pi^lambda, made normal
over the vocabulary, at the run's temperature; its top-k and top-p, where it has them, are those of
the mixture. By weights, one model has the weights (1 - lambda) SFT + lambda policy. KL is measured
from the SFT policy."""
EXAMPLES = {
    "rlhf realign sweeps/quickstart/kl0.1-...": "six lambdas, by both ways",
    "rlhf realign RUN --lambda 0.5,0.7 --by weights": "two, by weights",
}
EXIT_CODES = {
    0: "done",
    1: "a number is not finite, or another process is at work there",
    2: "no finished run is there, or the arguments are wrong",
}
MORE = "rlhf export RUN --realign lambda=0.7 writes one of them as a model."
DEFAULT = "0,0.25,0.5,0.75,1,1.5"
COLUMNS = {
    "kl/sequence_nats": "KL, nats",
    "kl/sequence_nats_exact": "exact",
    "response/length": "length",
    "response/ended": "ended",
}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "realign", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES, more=MORE
    )
    option = parser.add_argument
    option("source", metavar="run", help=WORD)
    option(
        "--lambda",
        dest="lambdas",
        default=DEFAULT,
        metavar="L,L,...",
        help=f"at least 0 each; by default {DEFAULT}",
    )
    option("--by", default=",".join(WAYS), help="decoding, weights, or decoding,weights (default)")
    option("--prompts", type=int, metavar="N", help="by default as many as the run's evaluations")
    option("--samples", type=int, default=1, metavar="N", help="responses to each; by default 1")
    option("--seed", type=int, default=0, help="the same seed gives the same responses")
    option("--json", action="store_true", help="what was measured, to stdout")
    add_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 1 a number is not finite, or the directory is in use; 2 no finished run,
    or the arguments are wrong."""
    args = _parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    allow(*args.allow_targets)
    from rlhf.commands.parts.named import place_of
    from rlhf.export.made import NoModel
    from rlhf.inventory import RunEntry
    from rlhf.realign.ready import finished

    try:
        settings = _settings(args)
        made = finished(place_of(args.source, RunEntry))
    except (NoModel, ValueError) as error:
        return _refuse([str(error)])
    from rlhf.config.validate import ConfigError
    from rlhf.data.records import DataError
    from rlhf.realign.finished import realign
    from rlhf.rundir.errors import ModelError, RunFailed
    from rlhf.rundir.noted import REALIGN

    try:
        measured = realign(made, settings)
    except NoModel as error:
        return _refuse([str(error)])
    except (ConfigError, DataError, ModelError) as error:
        return _refuse(error.faults)
    except RunFailed as error:
        return _refuse([str(error)], 1)
    print(json.dumps(measured) if args.json else "\n".join(_table(measured)))
    print(made.directory / REALIGN, file=sys.stderr if args.json else sys.stdout)
    return 0


def _joined(words: Sequence[str]) -> list[str]:
    """`--lambda -0.5` is a value to be refused with a sentence, not an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--lambda":
            joined[-1] = f"--lambda={word}"
        else:
            joined.append(word)
    return joined


def _settings(args: argparse.Namespace) -> Realign:
    """Raises ValueError where one is wrong."""
    from rlhf.config.schema import Realign
    from rlhf.realign.ready import numbers, ways

    for name, least in (("prompts", 2), ("samples", 1), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and not least <= value <= 10**6:
            raise ValueError(f"--{name} {value}: expected a whole number, {least} to 1000000")
    return Realign(
        lambdas=numbers(args.lambdas),
        by=ways(args.by),
        prompts=args.prompts,
        samples=args.samples,
        seed=args.seed,
    )


def _table(measured: dict[str, Any]) -> list[str]:
    lines = [f"{measured['prompts']} prompts, {measured['responses']} responses at each lambda"]
    for curve in measured["curves"]:
        seconds = measured["timings"][curve["by"]]
        lines += ["", f"by {curve['by']} ({seconds:.1f} CPU seconds)"]
        rewards = [
            name
            for name in curve["points"][0]
            if name.startswith("reward/") and not name.endswith("_se")
        ]
        columns = {**dict.fromkeys(rewards), **COLUMNS}
        heads = ["lambda", *(title or name for name, title in columns.items())]
        rows = [
            [f"{point['lambda']:g}", *(_cell(point, name) for name in columns)]
            for point in curve["points"]
        ]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines += [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in (heads, *rows)
        ]
    return lines


def _cell(point: dict[str, float], name: str) -> str:
    error = point.get(f"{name}_se")
    return f"{point[name]:.3f}" + (f" ± {error:.3f}" if error is not None else "")


def _refuse(faults: Sequence[str], code: int = 2) -> int:
    print("\n".join(f"rlhf realign: {fault}" for fault in faults), file=sys.stderr)
    return code
