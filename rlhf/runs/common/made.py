"""The rows of the data, how they become ids, and the report on them, made once for many runs.

The server makes them before the first job; a job takes what it would come to by itself, which keys
of the content tell. In a process that no such server began there is nothing to take.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from rlhf.config.build import build
from rlhf.config.pieces.base import Custom
from rlhf.config.schema import Config
from rlhf.data.records import DataError, Loaded, Source
from rlhf.data.rendering.choice import AUTO, template_file
from rlhf.digests import digest, file_digest
from rlhf.models.files.weights import make_patterns
from rlhf.models.load import outline
from rlhf.runs.common.told import sections
from rlhf.stages.context import StageContext
from rlhf.stages.inputs import Inputs
from rlhf.stages.outside.pieces import reward_model_piece
from rlhf.stages.provenance.manifest import git, versions
from rlhf.stages.report import data_report

LENT = (
    *("data_parts", "tokenizer", "rendering", "prompt_ids", "stops", "model_config", "positions"),
    *("fitted", "written_tokenizer"),
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A value with the warnings that its making gave, for whoever takes it."""

    value: Any
    warnings: list[logging.LogRecord] = field(default_factory=list)

    def taken(self) -> Any:
        for record in self.warnings:
            logging.getLogger(record.name).handle(record)
        return self.value


_rows: dict[str, Made] = {}  # of `Loaded`
_inputs: dict[str, Made] = {}  # of the values of `LENT`, and the report


def load(cfg: Config) -> Loaded:
    """The config's rows: those that the server has read from the same bytes, else read now.

    Raises:
        DataError: they are wrong or missing.
    """
    source: Source = build(cfg.data)
    key = rows_key(cfg, source) if _rows else None
    loaded: Loaded = _rows[key].taken() if key in _rows else Loaded.of(source)
    return loaded


def lend(context: StageContext) -> None:
    """Gives a context, where it is as good as empty, what the server has made of the same."""
    key = inputs_key(context) if _inputs else None
    if key in _inputs:
        values, report = _inputs[key].taken()
        vars(context).update(values)
        context.reports.append(report)


def rows_key(cfg: Config, source: Source) -> str | None:
    """sha256 of the source's settings and of the bytes of all files that it reads; None where it
    does not say which those are, or they are not there."""
    files = getattr(source, "files", None)
    try:
        paths = None if files is None else files()
        content = None if paths is None else [[str(path), file_digest(path)] for path in paths]
    except (DataError, OSError):
        return None
    return None if content is None else digest({"data": sections(cfg)["data"], "files": content})


def inputs_key(context: Inputs) -> str | None:
    """sha256 of all that `LENT` and the report follow from; None where a class of the user's own
    has a part in it."""
    cfg = context.cfg
    if isinstance(cfg.data, Custom) or isinstance(cfg.model, Custom):
        return None
    reward = reward_model_piece(cfg)
    pieces = (context.start, context.model, *([reward] if reward else []))
    return digest(
        {
            "rows": context.data.fingerprint,
            "sections": sections(cfg),
            "template": template_file(getattr(context.source, "template", AUTO)),
            "models": [piece.identity() for piece in pieces],
        }
    )


def make(configs: Iterable[Config]) -> None:
    """Makes what jobs with these configs have in common, and imports what their models need.

    To be called in the server. What fails here is left to the jobs, which say it in their own
    logs. Runs no kernel and starts no thread, so that a job begins as clean as a process of its
    own.
    """
    torch.set_num_threads(1)
    versions(), git()  # each asked once in a process; CUDA is asked by none that is forked
    for cfg in configs:
        with suppress(Exception):
            _make(cfg)
    gc.collect()
    gc.freeze()  # a job's collector need not look at any of it, nor write to its pages


def _make(cfg: Config) -> None:
    source: Source = build(cfg.data)
    rows = rows_key(cfg, source)
    if rows is None:
        return
    if rows not in _rows:
        with _warnings() as warnings:
            read = Made(value=Loaded.of(source), warnings=warnings)
        if rows_key(cfg, source) != rows:  # a file changed meanwhile
            return
        _rows[rows] = read
    context = Inputs(cfg=cfg, **_rows[rows].value._asdict())
    key = inputs_key(context)
    if key is None or key in _inputs:
        return
    with _warnings() as warnings:
        report = data_report(context)
        values = {name: getattr(context, name) for name in LENT}
    if inputs_key(context) == key:
        _inputs[key] = Made(value=(values, report), warnings=warnings)
    config = context.model_config
    if config is not None and (network := outline(config)) is not None:
        make_patterns(network)


class _Into(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def _warnings() -> Iterator[list[logging.LogRecord]]:
    """What is logged meanwhile, which goes nowhere else."""
    records: list[logging.LogRecord] = []
    root = logging.getLogger()
    others, root.handlers = root.handlers, [_Into(records)]
    try:
        yield records
    finally:
        root.handlers = others
