"""Whether the models and the template that a run began with are still what they were. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlhf.config.schema import Config
from rlhf.digests import file_digest, model_digests
from rlhf.rundir.read import read_json
from rlhf.runs.machine.faults import models_of

KEY = "entered"  # of a run's manifest


def entered_with(cfg: Config) -> dict[str, dict[str, str]]:
    """{"sft.path": {file: sha256, ...}, ...} of the folders whose models the run begins with or is
    scored by, and of the file that `data.template` names."""
    scorers = {"scorer": cfg.scorer}
    scorers |= {
        f"scorer.parts.{n}": p for n, p in (getattr(cfg.scorer, "parts", None) or {}).items()
    }
    paths = {f"{key}.path": getattr(scorer, "path", None) for key, scorer in scorers.items()}
    paths |= {key: path for path, _, key in models_of(cfg)}
    folders = {key: Path(path) for key, path in paths.items() if isinstance(path, str)}
    entered = {key: model_digests(path) for key, path in folders.items() if path.is_dir()}
    template = Path(getattr(cfg.data, "template", "")).expanduser()
    if template.suffix == ".jinja" and template.is_file():
        entered["data.template"] = {template.name: file_digest(template)}
    return entered


def changes(directory: Path, cfg: Config) -> str:
    """A sentence where a folder whose model the run in `directory` began with has other files now,
    or its template is another; empty where all are the same, or gone."""
    then: dict[str, Any] = read_json(directory / "manifest.json").get(KEY) or {}
    if not then:
        return ""
    now, others = entered_with(cfg), []
    for key, files in now.items():
        before = then.get(key, files)
        names = sorted(n for n in {*files, *before} if files.get(n) != before.get(n))
        if names:
            others.append(f"{key} ({', '.join(names)})")
    if not others:
        return ""
    return (
        f"{directory} began with other files than are there now: {'; '.join(others)}. rerun=true"
        " makes a run with these beside it; or restore the files"
    )
