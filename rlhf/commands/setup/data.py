"""rlhf data [key=value ...]: what is in a run's data, before anything is trained

The settings are those of a run: its tokenizer, template and limits decide what is counted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlhf.commands.parts.parser import Parser
from rlhf.config.allow import add_option, allow

if TYPE_CHECKING:
    from rlhf.config.composition.hydra_internals import Hydra
    from rlhf.config.composition.plan import Plan
    from rlhf.config.schema import Config
    from rlhf.data.report.show import Table
    from rlhf.data.report.values import Report

# of runs that do with a part of the data: without demonstrations, without pairs, without both
WITHOUT = (
    ("sft=none",),
    ("scorer=vader", "ppo.value_init=policy"),
    ("sft=none", "scorer=vader", "ppo.value_init=policy"),
)
DESCRIPTION = """
Says what is in the data of a run before anything is trained: rows, turns, lengths in tokens, what
the limits of the stages cut or leave out, duplicates, prompts on both sides of the split, length
bias of the preferences, and what rules without a model make of held-out pairs. Nothing is trained
and no weights are loaded."""
EXAMPLES = {
    "rlhf data": "the data of the defaults",
    "rlhf data data=hh_rlhf model=hf model.path=DIR": "of a run with these settings",
    "rlhf data data=files data.demonstrations=demos.jsonl data.gold=vader": "your own rows",
}
EXIT_CODES = {
    0: "done, also where a run would be refused",
    2: "the config, the data or the model is wrong",
}


def _parser() -> argparse.ArgumentParser:
    parser = Parser("data", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="as of a run: data=files model=hf ..."
    )
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="the settings are a sweep's: of its first job"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the report as JSON")
    form.add_argument("--markdown", action="store_true", help="print the report as markdown")
    parser.add_argument("--config-dir", help="a folder with groups of your own")
    add_option(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0 done, also where a run would be refused; 2 the config, the data or the model is
    wrong."""
    args = _parser().parse_intermixed_args(argv)
    allow(*args.allow_targets)
    from rlhf.commands.parts.shown import refuse, warn
    from rlhf.config.composition.composer import REFUSALS, reason
    from rlhf.config.composition.session import session
    from rlhf.config.plugins.folders import conf_folders
    from rlhf.config.validate import ConfigError
    from rlhf.data.records import DataError
    from rlhf.rundir.errors import ModelError

    try:
        warn(conf_folders(args.config_dir))
        with session(args.config_dir) as hydra:
            planned, missing = _plan(hydra, args.settings, args.multirun)
        if planned.faults:
            return refuse(planned.faults)
        cfg = planned.jobs[0].config
        assert cfg is not None
        report = _report(cfg)
    except (FileNotFoundError, *REFUSALS) as error:
        return refuse([reason(error)])
    except (ConfigError, DataError, ModelError) as error:
        return refuse(error.faults)
    return _say(report, missing, cfg, args)


def _say(report: Report, missing: Sequence[str], cfg: Config, args: argparse.Namespace) -> int:
    from rlhf.data.report.refusal import refusals
    from rlhf.data.report.show import markdown

    wrong = [*missing, *refusals(report, new_tokens=cfg.generation.max_new_tokens)]
    if args.json:
        import json

        print(json.dumps({**report.plain(), "refusals": wrong}, indent=2, ensure_ascii=False))
    elif args.markdown:
        print(markdown(report, wrong), end="")
    else:
        _draw(report, wrong)
    return 0


def _plan(hydra: Hydra, words: Sequence[str], multirun: bool) -> tuple[Plan, list[str]]:
    """The plan of a run; where the data lack a part that it needs, that of one that does without,
    and why the run itself would be refused."""
    from rlhf.config.composition.plan import plan

    planned = plan(hydra, words, multirun=multirun)
    if not planned.faults or not all(fault.startswith("data.") for fault in planned.faults):
        return planned, []
    given = {word.partition("=")[0] for word in words}
    for others in WITHOUT:
        more = [word for word in others if word.partition("=")[0] not in given]
        if not (other := plan(hydra, [*words, *more], multirun=multirun)).faults:
            return other, planned.faults
    return planned, []


def _report(cfg: Config) -> Report:
    from rlhf.config.build import build
    from rlhf.data.records import Loaded

    loaded = Loaded.of(build(cfg.data))
    from rlhf.stages.inputs import Inputs
    from rlhf.stages.report import data_report

    return data_report(Inputs(cfg=cfg, **loaded._asdict()), thorough=True)


def _narrow(table: Table) -> Table:
    """A table of many columns and few rows on its side: for terminals of 80 letters."""
    if len(table.columns) <= len(table.rows) + 2:
        return table
    from rlhf.data.report.show import Table

    columns, *rows = zip(table.columns, *table.rows, strict=True)
    return Table(table.title, columns, tuple(rows))


def _draw(report: Report, wrong: Sequence[str]) -> None:
    from rich.table import Table

    from rlhf.commands.parts.listed.tables import console as wide
    from rlhf.data.report.show import tables

    console = wide()
    console.print(f"data={report.data}, template {report.template}", highlight=False)
    for table in map(_narrow, tables(report)):
        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for i, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if i else "left", overflow="fold")
        for row in table.rows:
            drawn.add_row(*row)
        console.print(f"\n{table.title}", style="italic", highlight=False, markup=False)
        console.print(drawn, highlight=False, markup=False)
    for sentence in wrong:
        print(f"\na run would be refused: {sentence}", file=sys.stderr)
