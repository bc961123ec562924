"""rlhf sample sweeps/quickstart/kl0.05-...: talk to a policy, with its reference beside it

Rewards and the KL of each answer, tokens coloured by their KL; --prompts and --out without a
terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.commands.parts.parser import WORD, Parser
from rlhf.config.allow import add_option, allow

if TYPE_CHECKING:
    from rlhf.chat.session import Session
    from rlhf.data.conversations import Turns

DESCRIPTION = """
Answers of a run's policy beside those of its reference (the SFT policy that its KL is measured
from; of an SFT policy the model before it), with every reward and the KL of each: the sum over its
tokens of log pi - log pi_ref, in nats. Sampling is the run's own unless it is given here."""
EXAMPLES = {
    "rlhf sample kl0.05": "talk to the run whose name begins so",
    "rlhf sample RUN --prompt 'a film'": "one answer",
    "rlhf sample RUN --prompts questions.jsonl --out answers.jsonl": "those of a file",
}
EXIT_CODES = {
    0: "done",
    1: "a number is not finite, or a judge fails",
    2: "no policy is there, or the arguments or prompts are wrong",
}
MORE = "In the terminal: /reset begins anew, /quit or Ctrl-D ends."


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "sample", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES, more=MORE
    )
    option = parser.add_argument
    option(
        "source",
        metavar="run",
        help=WORD,
    )
    option("--prompt", metavar="TEXT", help="answer this, once")
    option("--prompts", type=Path, metavar="FILE", help='JSON Lines: "prompt" or "messages"')
    option("--out", type=Path, metavar="FILE", help="where the answers to --prompts go: JSON Lines")
    option("--system", metavar="TEXT", help="a system turn before the conversation")
    option(
        "--temperature", type=float, metavar="T", help="above 0: below 1 the likely gets likelier"
    )
    option("--top-p", type=float, metavar="P", help="the likeliest tokens with this share alone")
    option("--top-k", type=int, metavar="K", help="the K likeliest tokens alone; 0: all")
    option("--max-tokens", type=int, metavar="N", help="of an answer")
    option("--seed", type=int, default=0, help="the same seed gives the same answers")
    add_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 1 a number is not finite, or a judge fails; 2 no policy there, or the
    arguments or prompts are wrong."""
    args = _parser().parse_args(argv)
    allow(*args.allow_targets)
    from rlhf.commands.parts.named import Ambiguous, place_of
    from rlhf.export.made import NoModel, find
    from rlhf.inventory import ArtifactEntry, RunEntry

    try:
        if fault := _fault(args):
            raise NoModel(fault)
        made = find(place_of(args.source, RunEntry, ArtifactEntry))
        made.folder("policy")
    except (NoModel, Ambiguous) as error:
        return _refuse([str(error)])
    from rlhf.chat.prompts import read_prompts
    from rlhf.config.validate import ConfigError
    from rlhf.data.records import DataError
    from rlhf.rundir.errors import ModelError, RunFailed

    try:
        prompts = read_prompts(args.prompts) if args.prompts else []
        from rlhf.chat.session import open_session

        session = open_session(made, seed=args.seed, **_sampling(args))
        if args.prompts:
            return _answer(session, prompts, args)
        return _talk(session, args)
    except NoModel as error:
        return _refuse([str(error)])
    except (ConfigError, DataError, ModelError) as error:
        return _refuse(error.faults)
    except RunFailed as error:
        return _refuse([str(error)], 1)


def _fault(args: argparse.Namespace) -> str | None:
    """What is wrong with the arguments alone."""
    if args.out and not args.prompts:
        return "--out takes the answers to --prompts FILE, which is not given"
    if args.prompt is not None and args.prompts:
        return "--prompt and --prompts: give one of them"
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "temperature": (lambda value: value > 0, "a number above 0"),
        "top_p": (lambda value: 0 < value <= 1, "a number above 0, at most 1"),
        "top_k": (lambda value: value >= 0, "a whole number, 0 for off"),
        "max_tokens": (lambda value: value >= 1, "a whole number, at least 1"),
    }
    for name, (holds, expected) in checks.items():
        value = getattr(args, name)
        if value is not None and not holds(value):
            return f"--{name.replace('_', '-')} {value}: expected {expected}"
    return None


def _sampling(args: argparse.Namespace) -> dict[str, Any]:
    names = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k"}
    names["max_new_tokens"] = "max_tokens"
    given = {name: getattr(args, option) for name, option in names.items()}
    return {name: value for name, value in given.items() if value is not None}


def _answer(session: Session, prompts: Sequence[Turns], args: argparse.Namespace) -> int:
    """Each prompt of a file, to a file or to stdout: one object a line."""
    import json

    from rlhf.chat.session import ROWS
    from rlhf.data.conversations import Turn
    from rlhf.data.rendering.spans import TemplateError
    from rlhf.rundir.files import write_text

    system = [Turn("system", args.system)] if args.system else []
    asked = [(*system, *turns) if turns[0].role != "system" else turns for turns in prompts]
    lines = []
    for start in range(0, len(asked), ROWS):
        part = asked[start : start + ROWS]
        try:
            replies = session.answer(part, draw=start)
        except TemplateError as error:
            where = f"{args.prompts}: one of the prompts {start + 1} to {start + len(part)}"
            return _refuse([f"{where} is refused by the template: {error}"])
        for turns, sides in zip(part, replies, strict=True):
            row = {"prompt": [turn._asdict() for turn in turns], **sides}
            lines.append(json.dumps(row, ensure_ascii=False))
        print(f"{len(lines)} of {len(asked)} prompts answered", file=sys.stderr, flush=True)
    text = "\n".join([*lines, ""])
    if args.out:
        write_text(args.out, text)
    else:
        sys.stdout.write(text)
    return 0


def _talk(session: Session, args: argparse.Namespace) -> int:
    """One answer, or a conversation until its end."""
    from rich.console import Console

    from rlhf.chat.screen import beside, legend
    from rlhf.chat.session import Talk
    from rlhf.data.rendering.spans import TemplateError

    console, talk = Console(), Talk(session=session, system=args.system)
    legend(console)
    if args.prompt is None and sys.stdin.isatty():
        alone = "" if session.takes_turns else "; the template takes one question at a time"
        console.print(f"/reset begins anew, /quit ends{alone}", style="dim")
    while True:
        line = args.prompt if args.prompt is not None else _line()
        if line is None or line.strip() == "/quit":
            return 0
        if line.strip() == "/reset":
            talk.reset()
        elif line.strip() or args.prompt is not None:
            try:
                console.print(beside(talk.say(line)))
                if cut := session.cut(tuple(talk.turns[:-1])):
                    console.print(f"{cut} tokens at the conversation's beginning were too many")
            except TemplateError as error:
                return _refuse([f"the template refuses this: {error}"])
        if args.prompt is not None:
            return 0


def _line() -> str | None:
    """The next line of the user's; None at the end."""
    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return None


def _refuse(faults: Sequence[str], code: int = 2) -> int:
    print("\n".join(f"rlhf sample: {fault}" for fault in faults), file=sys.stderr)
    return code
