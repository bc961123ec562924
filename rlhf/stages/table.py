"""How each stage of `config/stages.py` is made: what decides its result beside its settings, and
the function that trains it. A new stage is an entry there and one here."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from rlhf.config.naming import run_hash
from rlhf.config.pieces.scorer import ensemble_members
from rlhf.config.properties import is_trained, needed_stages, parents as stands_on
from rlhf.config.stages import CODE_VERSION, STAGES, Stage
from rlhf.models.files.adapter import adapter_facts, is_adapter
from rlhf.rundir.files import flatten, write_text
from rlhf.rundir.status import write_status
from rlhf.stages import ppo, reward_model, sft
from rlhf.stages.artifacts import manifest_of
from rlhf.stages.context import Parents, StageContext
from rlhf.stages.outside.take import origin
from rlhf.stages.provenance import legs
from rlhf.stages.provenance.manifest import manifest
from rlhf.stages.ranks.meeting import Task
from rlhf.tracking.base import Tracker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """`parts`: plain values that decide the result beside the stage's settings, the trainer's and
    its parents. `train(context, parents, directory, tracker)` returns metrics; of a stage whose
    directory is the run's, other facts of the result."""

    parts: Callable[[StageContext], dict[str, Any]]
    train: Callable[[StageContext, Parents, Path, Tracker], dict[str, Any]]


RECIPES = {
    "sft": Recipe(sft.fingerprint_parts, sft.train_sft),
    "reward_model": Recipe(reward_model.fingerprint_parts, reward_model.train_reward_model),
    "ppo": Recipe(ppo.fingerprint_parts, ppo.train_ppo),
}


def fingerprints(context: StageContext, *, runs: bool = True) -> dict[str, str]:
    """Of the stages that the context's run goes through, by name; without `runs` of those alone
    that are artifacts. Each covers its parents'."""
    prints: dict[str, str] = {}
    for stage in needed_stages(context.cfg):
        if runs or not stage.is_run:
            prints[stage.name] = context.fingerprint(
                stage.name, **_parents(context, stage, prints), **RECIPES[stage.name].parts(context)
            )
    return prints


def artifacts(context: StageContext, prints: Mapping[str, str]) -> dict[str, Path]:
    """The artifacts of the stages that the context's run goes through, but for one in its own
    directory: found by their fingerprints, or made."""
    paths: dict[str, Path] = {}
    for stage in needed_stages(context.cfg):
        if not stage.is_run:
            paths[stage.name] = artifact(context, stage, prints, paths)
    context.members[:] = _ensemble(context, prints, paths)
    return paths


def _ensemble(
    context: StageContext, prints: Mapping[str, str], paths: Mapping[str, Path]
) -> Iterator[Path]:
    """The further reward models of the scorer's ensemble: the stage's artifacts with the seeds
    after its own (docs/decisions/0018)."""
    stage, first = STAGES["reward_model"], context.cfg.reward_model.seed
    for seed in range(first + 1, first + ensemble_members(context.cfg.scorer)):
        other = _with_reward_seed(context, seed)
        parts = _parents(other, stage, prints) | RECIPES[stage.name].parts(other)
        own = {**prints, stage.name: other.fingerprint(stage.name, **parts)}
        yield artifact(
            other, stage, own, {name: paths[name] for name in stage.parents if name in paths}
        )


def _with_reward_seed(context: StageContext, seed: int) -> StageContext:
    """The same context with another seed of the reward model."""
    settings = context.cfg.reward_model.model_copy(update={"seed": seed})
    cfg = context.cfg.model_copy(update={"reward_model": settings})
    # another seed samples other pairs, and draws others of those that are there
    drawn = context.data.preferences is None or settings.max_rows is not None
    rows = {} if drawn else context.rows
    other = replace(context, cfg=cfg, rows=rows, members=[])
    # the store holds the members as long as the run lasts
    alike = ("model", "tokenizer", "rendering", "stops", "model_config", "positions", "fitted")
    shared = ("store", *alike)
    vars(other).update({name: vars(context)[name] for name in shared if name in vars(context)})
    return other


def artifact(
    context: StageContext, stage: Stage, prints: Mapping[str, str], parents: Parents
) -> Path:
    """The stage's artifact; trained, and tracked as a run of its own, if nobody has made it yet."""

    def make(work: Path) -> dict[str, Any]:
        write_text(
            work / "config.yaml", OmegaConf.to_yaml({**context.written, "stage": stage.name})
        )
        own, params = prints[stage.name], flatten(context.deciding(stage.name))
        tags = {**stage_tags(context, stage, prints), "fingerprint": own}
        name, shown, facts = f"{stage.name} {own[:8]}", stage, {}
        if not is_trained(context.cfg, stage.name):
            facts = {"origin": origin(context, stage.name)}
            came = flatten(facts["origin"])
            name, params, shown = f"{name} taken over", came, replace(stage, data=())
        with context.tracked(work, shown, name=name, params=params, tags=tags) as tracker:
            metrics = train(context, stage, parents, work, tracker)
        gc.collect()  # its networks, which Lightning's objects hold in circles
        return artifact_manifest(context, stage, prints, trained_in=work, metrics=metrics, **facts)

    waiting = partial(
        write_status,
        context.run_directory,
        state="running",
        stage=f"waiting for {stage.name}",
        iteration=0,
        iterations=0,
    )
    return context.store.get(stage.name, prints[stage.name], make, waiting=waiting)


def train(
    context: StageContext, stage: Stage, parents: Parents, directory: Path, tracker: Tracker
) -> dict[str, Any]:
    """What the stage's recipe gives, trained on all of the run's ranks."""
    if is_trained(context.cfg, stage.name):
        context.team.ask(
            Task(
                stage=stage.name,
                directory=str(directory.absolute()),
                parents={name: str(path.absolute()) for name, path in parents.items()},
                members=tuple(str(path.absolute()) for path in context.members),
                reward_seed=context.cfg.reward_model.seed,
                data=context.data.fingerprint,
            )
        )
    return RECIPES[stage.name].train(context, parents, directory, tracker)


def publish(
    context: StageContext,
    stage: Stage,
    prints: Mapping[str, str],
    *,
    policy_sha256: str,
    metrics: Mapping[str, Any],
) -> Path:
    """The artifact of a stage whose directory is the run's: the policy that it ended with. One that
    is there already is left as it is."""
    directory = context.run_directory
    make_manifest = partial(
        artifact_manifest,
        context,
        stage,
        prints,
        trained_in=directory,
        run=str(directory),
        policy_sha256=policy_sha256,
        metrics=dict(metrics),
    )
    path = context.store.put(stage.name, prints[stage.name], directory / "policy", make_manifest)
    published = manifest_of(path)
    if published["policy_sha256"] != policy_sha256:
        log.warning(
            "%s is left as it is: the policy of %s, whose weights differ from this run's",
            path,
            published["run"],
        )
    return path


def stage_tags(context: StageContext, stage: Stage, prints: Mapping[str, str]) -> dict[str, str]:
    """The tags that the tracked runs of all stages have."""
    return {
        "stage": stage.name,
        "study": context.cfg.study,
        **{f"parent.{name}": value for name, value in _parents(context, stage, prints).items()},
    }


def artifact_manifest(
    context: StageContext,
    stage: Stage,
    prints: Mapping[str, str],
    *,
    trained_in: Path,
    **results: Any,
) -> dict[str, Any]:
    """`trained_in`: the directory that has the legs of its training."""
    plain = {**context.plain, "stage": stage.name}
    own = prints[stage.name]
    folder = trained_in / "policy" if stage.is_run else trained_in
    content = manifest(
        kind="artifact",
        stage=stage.name,
        hash=own,
        code=CODE_VERSION,
        name=f"{stage.name}-{own}",
        seed=flatten(plain)[stage.seed],
        fingerprints={"data": context.data.fingerprint, **_parents(context, stage, prints)},
        data=context.data_parts,
        config={**context.written, "stage": stage.name},
        config_hash=run_hash(plain),
        **({"adapter": adapter_facts(folder)} if is_adapter(folder) else {}),
        **results,
    )
    return content | legs.provenance(legs.read(trained_in))


def _parents(context: StageContext, stage: Stage, prints: Mapping[str, str]) -> dict[str, str]:
    return {name: prints[name] for name in stands_on(context.cfg, stage.name) if name in prints}
