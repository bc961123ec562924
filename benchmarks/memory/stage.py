"""One stage in a process of its own: what it took, and what its config's estimate says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.speed.children import environment

STAGES = ("sft", "reward_model", "ppo")
QUIET = ("tracking=none", "callbacks=none", "best_of_n=none", "evaluation.samples=1")
ADAPTERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "lora": ("model/adapter=lora", "model/sharing=backbone"),
}


TOY = (
    *("model=tiny", "model.hidden_size=8", "model.layers=1", "model.heads=1", *QUIET),
    *("data.demonstrations=40", "data.pairs=20", "data.prompts=20", "sft.epochs=1"),
    *("reward_model.epochs=1", "reward_model.normalize_samples=4", "ppo.iterations=1"),
    *("ppo.rollout_size=4", "ppo.minibatch_size=4", "evaluation.prompts=4"),
)


def cell(stage: str, words: Sequence[str]) -> dict[str, Any]:
    """What a stage took, and what its config's estimate says, in bytes and by terms."""
    import rlhf
    import rlhf.runs.run  # what a run imports is no part of its peak
    from benchmarks.peak import allocated_peak, begin_anew
    from rlhf.config.compose import compose
    from rlhf.config.validate import validate

    lines = [*words, f"stage={stage}"]
    cfg = validate(compose(lines))
    device = cfg.trainer.accelerator
    with TemporaryDirectory() as work:
        rlhf.run(
            rlhf.compose(
                [*TOY, f"trainer={'gpu' if device == 'cuda' else 'cpu'}", f"paths.outputs={work}"]
            )
        )
    imports = begin_anew(device)
    began = time.monotonic()
    summary = rlhf.run(rlhf.compose(lines))
    wall = time.monotonic() - began
    peak = allocated_peak(device) - imports
    estimate = next(each for each in estimated(cfg) if each.stage == stage)
    rows = jsonl(Path(cfg.paths.run_dir) / "timings.jsonl") if stage == "ppo" else []
    return {
        "stage": stage,
        "measured": peak,
        "imports": imports,
        "estimated": estimate.size,
        "terms": {term.name: term.size for term in estimate.terms},
        "wall_seconds": wall,
        "seconds": [row["seconds"] for row in rows[1:]],
        "summary": {k: v for k, v in dict(summary or {}).items() if isinstance(v, (int, float))},
    }


def estimated(cfg: Any) -> list[Any]:
    """The peaks that are estimated for the config's stages, by the tokens of its rows."""
    from rlhf.config.build import build
    from rlhf.data.collate import collate_prompts
    from rlhf.data.records import Loaded
    from rlhf.estimates.peaks import peaks
    from rlhf.estimates.plan import Estimate
    from rlhf.estimates.rows import SHORTEST, DataSize, PartSize
    from rlhf.estimates.saved import shape_in
    from rlhf.stages.context import StageContext
    from rlhf.stages.rows import encoded_rows, sides

    loaded = Loaded.of(build(cfg.data))._asdict()
    context = StageContext(cfg=cfg, **loaded, run_directory=Path(cfg.paths.run_dir))
    lengths = {}
    for stage, part in (("sft", "demonstrations"), ("reward_model", "preferences")):
        if (rows := getattr(context.data, part)) is not None:
            texts = [
                side for row in encoded_rows(context, stage, rows).train for side in sides(row)
            ]
            lengths[part] = [len(text.ids) for text in texts]
    prompts = context.fitted.prompts
    batch = collate_prompts(context.rendering, prompts.train, context.fitted.limit)
    lengths["prompts"] = batch.mask.sum(dim=1).tolist()
    sizes = {
        part: PartSize(
            train=len((rows := getattr(context.data, part)).train),
            heldout=len(rows.heldout),
            longest=int(max(tokens) * SHORTEST),
            mean=SHORTEST * sum(tokens) / len(tokens),
        )
        for part, tokens in lengths.items()
    }
    shape = shape_in(cfg)
    assert shape is not None
    return peaks(Estimate(cfg=cfg, shape=shape, data=DataSize(**sizes)))


def jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def in_child(stage: str, words: Iterable[str]) -> dict[str, Any] | None:
    """The same in a fresh process; None, and it has said why, where it failed."""
    command = [sys.executable, "-m", "benchmarks.memory", "cell", stage, *words]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env=environment()
    )
    if ended.returncode:
        print(f"{stage} of {' '.join(words)}: exit code {ended.returncode}", file=sys.stderr)
        return None
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return result
