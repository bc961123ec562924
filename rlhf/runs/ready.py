"""All that can be known to be wrong before anything is trained: pieces that refuse their arguments,
a model that is too small for its tokenizer or the run's lengths, rows and prompts that are too
long."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from rlhf.config.build import build
from rlhf.config.checks.annotator import asked_for
from rlhf.config.properties import controller_arguments, is_trained, needed_stages
from rlhf.config.schema import Config
from rlhf.config.validate import ConfigError
from rlhf.data.records import DataError
from rlhf.data.report.refusal import refusals
from rlhf.data.report.show import short
from rlhf.models.checks import positions_of, vocabulary_faults, vocabulary_size
from rlhf.models.training.partial import layer_count, part_faults
from rlhf.models.training.recompute import recompute_faults
from rlhf.rewards.checks import run_faults
from rlhf.rundir.errors import ModelError
from rlhf.rundir.files import write_json
from rlhf.rundir.streams import on_screen
from rlhf.stages.context import StageContext
from rlhf.stages.outside.faults import model_faults
from rlhf.stages.report import REPORT, data_report
from rlhf.stages.reward_model import samples_policy
from rlhf.stages.rows import encoded_rows
from rlhf.stages.win_rates.rate import left_out

log = logging.getLogger(__name__)

KL_PIECES = ("controller", "estimator", "placement", "reference")
PPO_PIECES = ("scorer", "trust_region", "advantage")


def check_model(context: StageContext) -> None:
    """Asks what the config, the tokenizer and the model's configuration say, without its weights.

    Raises:
        ConfigError: the constructor of a piece refuses its arguments.
        ModelError: tokenizer or lengths do not fit the model.
    """
    stages = {stage.name for stage in needed_stages(context.cfg)}
    build_pieces(context, stages)
    config = context.model_config
    rows = None if config is None else getattr(config.get_text_config(), "vocab_size", None)
    faults = [] if rows is None else vocabulary_faults(context.tokenizer, rows)
    faults += model_faults(context)
    if not faults:
        # SFT reads the policy alone
        faults += length_faults(context.cfg, stages & {"sft"}, positions_of(config))
        faults += length_faults(context.cfg, stages - {"sft"}, context.positions)
    for stage in stages & {"sft", "reward_model"}:
        faults += part_faults(stage, getattr(context.cfg, stage).trained, layer_count(config))
    if context.cfg.trainer.gradient_checkpointing:
        every = [config, *context.other_configs.values()]
        faults += dict.fromkeys(each for one in every for each in recompute_faults(one))
    if faults:
        raise ModelError(faults)


def check_lost(context: StageContext) -> None:
    """Reports on the data, in a few lines and as data_report.json.

    Raises:
        DataError: a stage would lose more of its rows to its limit than `data.max_lost`.
    """
    report = context.reports[0] if context.reports else data_report(context)
    write_json(context.run_directory / REPORT, report.plain())
    print(on_screen("\n".join(short(report)), sys.stderr), file=sys.stderr, flush=True)
    if wrong := refusals(report, new_tokens=context.cfg.generation.max_new_tokens):
        raise DataError(wrong)
    if report.leaks:
        log.warning(
            "%d prompts are on both sides of the split: what is measured on held-out rows is not"
            " new to the model (%s)",
            *(report.leaks, REPORT),
        )


def check_data(context: StageContext, prints: Mapping[str, str]) -> None:
    """Applies the rule for long prompts, and warns of those that are left out or shortened.

    Args:
        prints: the fingerprints of the stages that the run goes through, by name.

    Raises:
        DataError: `data.on_long_prompt=error` and there are such prompts, or no row is left.
    """
    if draws(context, prints) and context.fitted.warning:
        log.warning("%s", context.fitted.warning)
    if "ppo" in prints and (warning := left_out(context)):
        log.warning("%s", warning)
    for stage, part in (("sft", "demonstrations"), ("reward_model", "preferences")):
        rows = getattr(context.data, part)
        made = stage not in prints or context.store.find(stage, prints[stage]) is not None
        if rows is not None and not made and is_trained(context.cfg, stage):
            encoded_rows(context, stage, rows)


def draws(context: StageContext, stages: Collection[str]) -> bool:
    """True if the run draws responses to prompts."""
    return "ppo" in stages or ("reward_model" in stages and samples_policy(context))


def length_faults(cfg: Config, stages: Collection[str], positions: int | None) -> list[str]:
    """A sentence for each length of the config that no model with so many positions can read."""
    if positions is None:
        return []
    faults = [
        f"{stage}.max_length={most} is more than the model's {positions} positions: set"
        f" {stage}.max_length={positions}"
        for stage in ("sft", "reward_model")
        if stage in stages
        and is_trained(cfg, stage)
        and (most := getattr(cfg, stage).max_length) > positions
    ]
    most, asked = cfg.generation.max_new_tokens, cfg.generation.max_prompt_tokens
    if {"reward_model", "ppo"} & {*stages} and most >= positions:
        faults.append(
            f"generation.max_new_tokens={most} leaves no room for a prompt in the model's"
            f" {positions} positions: set it below {positions}"
        )
    elif "ppo" in stages and asked is not None and asked + most > positions:
        faults.append(
            f"generation.max_prompt_tokens={asked} and a response of"
            f" generation.max_new_tokens={most} are more than the model's {positions} positions:"
            f" set generation.max_prompt_tokens={positions - most}, or null for whatever is left"
        )
    return faults


def scorer_faults(context: StageContext, scorer: Any) -> list[str]:
    """What does not fit between the scorer and the run's data. A model that it reads is read once,
    to be sure that it can be."""
    getattr(scorer, "prepare", lambda: None)()
    prompts = context.data.prompts
    return run_faults(
        getattr(scorer, "measured", ()),
        context.source.judges,
        [*prompts.train, *prompts.heldout],
        compares=getattr(scorer, "needs_references", False),
    )


def annotator_faults(context: StageContext, annotator: Any) -> list[str]:
    """What does not fit between the annotator and the run's data. A model that it reads is read
    once, to be sure that it can be."""
    getattr(annotator, "prepare", lambda: None)()
    if getattr(annotator, "needs_gold", False) and context.source.gold is None:
        return ["compares answers by gold, and the data has no gold reward"]
    return []


DATA_CHECKS = {"scorer": scorer_faults, "annotator": annotator_faults}


def build_pieces(context: StageContext, stages: Collection[str]) -> None:
    """The pieces that need nothing of a trained stage, built and thrown away: a class of the user's
    own that refuses its arguments must not be found out after SFT was trained. A callback that has
    `check_run(vocabulary, length, prompts, stops)` is asked.

    Raises:
        ConfigError: with the sentence of each constructor that refused.
    """
    cfg, faults = context.cfg, []
    pieces: dict[str, Any] = {f"callbacks.{name}": cfg.callbacks[name] for name in cfg.callbacks}
    pieces |= {f"{stage}.optimizer": getattr(cfg, stage).optimizer for stage in stages}
    if "ppo" in stages:
        kl = {f"kl.{part}": getattr(cfg.kl, part) for part in KL_PIECES}
        pieces |= {name: getattr(cfg, name) for name in PPO_PIECES} | kl
    if asked_for(cfg):
        pieces["annotator"] = cfg.annotator
    live: dict[str, dict[str, Any]] = {
        "kl.controller": controller_arguments(cfg.kl, cfg.ppo),
        **{f"{s}.optimizer": {"params": [nn.Parameter(torch.zeros(1))]} for s in stages},
    }
    for key, piece in pieces.items():
        try:
            built = build(piece, **live.get(key, {}))
            if check := DATA_CHECKS.get(key):
                faults += [f"{key}={piece.name or key}: {f}" for f in check(context, built)]
            if "ppo" in stages and key.startswith("callbacks.") and hasattr(built, "check_run"):
                built.check_run(
                    vocabulary=vocabulary_size(context.tokenizer),
                    length=cfg.generation.max_new_tokens,
                    prompts=len(context.data.prompts.train),
                    stops=context.stops,
                )
        except Exception as error:  # a class of the user's own may raise anything
            reason = error if isinstance(error, ModelError) else error.__cause__ or error
            faults.append(f"{key}={piece.name or piece.class_path}: {reason}")
    if faults:
        raise ConfigError(faults)
