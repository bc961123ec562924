"""The baseline's answers to the held-out prompts of the evaluations: no run's own, so drawn once
for all runs that share its parts."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from rlhf.annotators.base import Answer
from rlhf.config.stages import CODE_VERSION
from rlhf.data.collate import collate_prompts
from rlhf.data.conversations import Prompt
from rlhf.data.records import DataError
from rlhf.digests import digest, one_spelling
from rlhf.randomness import generator
from rlhf.rollout.engines.base import decode
from rlhf.rollout.finite import require_finite
from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_object
from rlhf.stages.context import StageContext
from rlhf.stages.provenance.manifest import manifest

STAGE, FILE = "win_rate_baseline", "win_rate_baseline.json"
ROWS = 128  # responses drawn at once
SEED = 0  # the same answers for all seeds of a run, which then differ by their policies alone


def heldout_prompts(context: StageContext) -> list[Prompt]:
    """Those of an evaluation, in turns where there are fewer."""
    held = context.fitted.prompts.heldout
    return [*islice(cycle(held), context.cfg.evaluation.prompts)]


def baseline_answers(context: StageContext, sft: Path) -> list[Answer]:
    """The baseline's answer to each held-out prompt of an evaluation: drawn from the SFT policy, or
    the data's own to the prompts that have one.

    Raises:
        DataError: the data has no answers.
    """
    if context.cfg.evaluation.win_rate == "reference":
        return reference_answers(context)
    prompts = heldout_prompts(context)
    parts = {
        "sft": sft.name,
        "generation": context.deciding("generation"),
        "prompts": digest(prompts),
        "limit": context.fitted.limit,
    }
    settled = {"stage": STAGE, "code": CODE_VERSION, "trainer": context.deciding("trainer")}
    own = digest(one_spelling({**settled, **parts, "seed": SEED}))[:16]

    def make(work: Path) -> dict[str, Any]:
        write_json(work / FILE, {"answers": drawn(context, sft, prompts)})
        return manifest(
            kind="artifact",
            stage=STAGE,
            hash=own,
            name=f"{STAGE}-{own}",
            seed=SEED,
            fingerprints={"sft": sft.name},
            config={"evaluation": {"prompts": len(prompts)}},
            metrics={},
        )

    kept = read_object(context.store.get(STAGE, own, make) / FILE) or {}
    return [
        Answer(prompt, str(row["text"]), bool(row["ended"]))
        for prompt, row in zip(prompts, kept["answers"], strict=True)
    ]


def reference_answers(context: StageContext) -> list[Answer]:
    """The data's own answer to each held-out prompt of an evaluation that has one.

    Raises:
        DataError: none has.
    """
    prompts = heldout_prompts(context)
    answers = [Answer(each, each.reference) for each in prompts if each.reference is not None]
    if not answers:
        raise DataError(
            f"evaluation.win_rate=reference: none of the {len({*prompts})} held-out prompts has a"
            " reference answer; give them one (a column `reference` of data.prompts), or take"
            " evaluation.win_rate=sft"
        )
    return answers


@torch.no_grad()
def drawn(context: StageContext, sft: Path, prompts: list[Prompt]) -> list[dict[str, Any]]:
    """The text of one response of the SFT policy to each prompt, as the run draws them, and whether
    it ended."""
    policy = context.networks().policy(sft).eval().to(context.device)  # type: ignore[arg-type]
    engine, rows = context.engine(policy), list[dict[str, Any]]()
    for start in range(0, len(prompts), ROWS):
        part = prompts[start : start + ROWS]
        batch = collate_prompts(context.rendering, part, context.fitted.limit)
        draws = generator(SEED, STAGE, "responses", start, device=context.device)
        rollout = engine.respond(batch.to(context.device), context.sampling, draws)
        sources = {"log-probabilities of the SFT policy": rollout.logp}
        require_finite(sources, rollout.mask, rollout.prompt.texts, STAGE)
        texts = decode(rollout, context.tokenizer, context.stops)
        ended = rollout.ended.tolist()
        rows += [{"text": t, "ended": bool(e)} for t, e in zip(texts, ended, strict=True)]
    return rows
