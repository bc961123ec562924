"""rlhf export sweeps/quickstart/kl0.05-...: a policy or reward model as an ordinary directory

With a model card, read back with transformers alone before it is there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rlhf.commands.parts.parser import WORD, Parser
from rlhf.config.allow import add_option, allow
from rlhf.realign import WAYS, Way
from rlhf.rundir.streams import on_screen

if TYPE_CHECKING:
    from rlhf.export.made import Made, What

DESCRIPTION = """
Writes the policy of a run, or its reward model, as a directory that transformers loads: weights,
tokenizer with the chat template that was trained, every id that ends a response, the run's
sampling, and a model card made from the manifest. It is read back in a process of its own with
transformers alone, and is not there where the numbers differ."""
EXAMPLES = {
    "rlhf export sweeps/quickstart/kl0.05-...": "the policy, to outputs/exported/",
    "rlhf export outputs/default/RUN --to DIR --dtype bfloat16": "elsewhere, in 16 bits",
    "rlhf export RUN --what reward_model": "the reward model",
    "rlhf export RUN --realign lambda=0.7": "a mixture with the SFT policy",
    "rlhf export RUN --push me/policy": "to the Hugging Face hub",
}
EXIT_CODES = {
    0: "done",
    1: "transformers alone reads other numbers, the disk refuses, or no hub answers",
    2: "there is no such model, or something is in the place",
}
DTYPES = ("float32", "bfloat16", "float16")


def _parser() -> argparse.ArgumentParser:
    parser = Parser("export", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)
    option = parser.add_argument
    option(
        "source",
        metavar="run",
        help=WORD,
    )
    option(
        "--to",
        type=Path,
        metavar="DIR",
        help="the new directory; by default outputs/exported/<name>, and none with --push",
    )
    option(
        "--what",
        choices=("policy", "reward_model"),
        help="by default what is there: of a run its policy",
    )
    option("--dtype", choices=DTYPES, help="of the weights; by default as they were trained")
    option(
        "--adapter",
        action="store_true",
        help="a policy's adapter alone, as PEFT loads it over its network; by default merged",
    )
    option(
        "--realign",
        metavar="lambda=L",
        help="not the policy itself but its mixture with the SFT policy: 0 that, 1 the policy",
    )
    option(
        "--by",
        choices=WAYS,
        help="of --realign: weights (default), one model; decoding, both models and a decoder",
    )
    option("--push", metavar="NAME", help="send it to the Hugging Face hub: owner/name")
    option("--public", action="store_true", help="whoever wants may read what is pushed")
    add_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 1 it does not mean the same elsewhere, or no hub answers; 2 no such
    model."""
    args = _parser().parse_args(argv)
    allow(*args.allow_targets)
    from rlhf.commands.parts.named import Ambiguous, place_of
    from rlhf.export.hub import NoHub, check_login, check_name
    from rlhf.export.made import NoModel, Taken, check_free, find
    from rlhf.inventory import ArtifactEntry, RunEntry

    try:
        if args.push:
            check_name(args.push)
        made = find(place_of(args.source, RunEntry, ArtifactEntry))
        what: What = args.what or made.holds
        made.folder(what)
        mixture = _mixture(args, made, what)
        to = args.to or (None if args.push else _default(made, what, mixture))
        if args.adapter and args.dtype:
            raise NoModel("--dtype is of merged weights: leave it out, or --adapter")
        if to is not None:
            check_free(to)
        if args.push:
            check_login()
    except (NoModel, Taken, Ambiguous) as error:
        return _refuse(error, 2)
    except NoHub as error:
        return _refuse(error, error.exit_code)
    if to is not None:
        return _export(made, what, to, args, mixture)
    with TemporaryDirectory() as aside:
        return _export(made, what, Path(aside) / args.push.rpartition("/")[2], args, mixture)


def _mixture(args: argparse.Namespace, made: Made, what: What) -> tuple[float, Way] | None:
    """Lambda and the way of --realign; None where it is not asked for.

    Raises:
        NoModel: there is no such mixture.
    """
    from rlhf.config.checks.realign import reference_fault
    from rlhf.config.validate import ConfigError, validate
    from rlhf.export.made import NoModel
    from rlhf.realign.ready import numbers, start_of

    if args.realign is None:
        if args.by:
            raise NoModel(f"--by {args.by} says how --realign lambda=L mixes, which is not given")
        return None
    key, _, value = args.realign.rpartition("=")
    if key not in ("", "lambda"):
        raise NoModel(f"--realign {args.realign}: expected lambda=0.7 or another number")
    if what != "policy" or made.stage != "ppo":
        raise NoModel(
            f"--realign is of a policy that began from another: there is none in {made.directory}"
        )
    if args.adapter:
        raise NoModel("--realign gives whole models: leave out --adapter")
    try:
        weight, *others = numbers(value)
        fault = reference_fault(validate(made.config).kl)
    except ValueError as error:
        raise NoModel(f"--realign {args.realign}: {error}") from None
    except ConfigError as error:
        raise NoModel("; ".join(error.faults)) from None
    if others:
        raise NoModel(f"--realign {args.realign}: expected one lambda, an export is one mixture")
    if fault:
        raise NoModel(f"{made.directory}: {fault}")
    start_of(made)
    return weight, args.by or "weights"


def _export(
    made: Made, what: What, to: Path, args: argparse.Namespace, mixture: tuple[float, Way] | None
) -> int:
    from rlhf.data.records import DataError
    from rlhf.export.directory import export
    from rlhf.export.hub import NoHub, push
    from rlhf.export.made import NoModel, Taken
    from rlhf.export.realigned import Realigned
    from rlhf.rundir.errors import ModelError, RunFailed

    print(f"{what.replace('_', ' ')}: {made.folder(what)}", flush=True)
    if what == "reward_model" and made.members:
        print(f"the first of an ensemble; the others: {', '.join(map(str, made.members))}")
    try:
        mixed = Realigned(weight=mixture[0], by=mixture[1]) if mixture else None
        kind = {"dtype": args.dtype, "adapter": args.adapter, "realigned": mixed}
        sentence = export(made, what, to, name=args.push, **kind)
        line = f"{to}: {sentence}" if args.to or not args.push else sentence
        print(on_screen(line, sys.stdout), flush=True)
        if args.push:
            print(push(to, args.push, private=not args.public))
    except (NoModel, Taken, ModelError, DataError) as error:
        return _refuse(error, 2)
    except (RunFailed, NoHub) as error:
        return _refuse(error, 1)
    return 0


def _default(made: Made, what: What, mixture: tuple[float, Way] | None) -> Path:
    """outputs/exported/<run>-policy, or <stage>-<fingerprint>; <run>-lambda0.7-weights."""
    name = made.directory.resolve().name
    if mixture:
        return Path("outputs/exported") / f"{name}-lambda{mixture[0]:g}-{mixture[1]}"
    own = f"{made.stage}-{name}" if made.is_artifact else f"{name}-{what}"
    return Path("outputs/exported") / own


def _refuse(reason: object, code: int) -> int:
    print(f"rlhf export: {reason}", file=sys.stderr)
    return code
