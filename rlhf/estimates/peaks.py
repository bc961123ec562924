"""The networks that each stage of a config has, and with them its peak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rlhf.arguments import layers_of
from rlhf.at_once import GRAPH_ROWS, GRAPH_SLOTS, rounded
from rlhf.config.pieces.optimizer import SGD, AdamW8bit
from rlhf.config.pieces.trained import ADAPTER
from rlhf.config.properties import (
    draws,
    kl_properties,
    learns_from,
    normalizes,
    of_algorithm,
    reward_model_shares,
    trains_values,
)
from rlhf.config.schema import Config
from rlhf.estimates import adapters, memory, policy
from rlhf.estimates.adapters import size_of_adapter
from rlhf.estimates.memory import Network, Peak, Term, Training
from rlhf.estimates.passes import (
    DRAWN_LOGITS,
    PRECISIONS,
    READ_LOGITS,
    Pass,
    Rows,
    cache,
    logits,
)
from rlhf.estimates.plan import Estimate, reward_models
from rlhf.estimates.shape import ModelShape

SAMPLE_ROWS = 128  # responses that the stages before PPO draw at once


def sft(it: Estimate) -> Peak:
    rows = it.batch("sft", it.data.demonstrations).share(it.cfg.trainer.ranks)
    settings = it.cfg.sft
    network = supervised(it.shape, it.cfg, settings.trained, it.shape.parameters, head=0)
    return memory.sft(it.shape, network, rows, training(it, settings, rows))


def reward_model(it: Estimate) -> Peak:
    cfg, settings = it.cfg, it.cfg.reward_model
    pairs = it.batch("reward_model", it.data.preferences).share(cfg.trainer.ranks)
    drawn = None
    if normalizes(settings):
        drawn = it.drawn(min(SAMPLE_ROWS, settings.normalize_samples))
    network = supervised(it.shape, cfg, settings.trained, it.shape.backbone, head=it.shape.hidden)
    how = training(it, settings, pairs, drawn)
    policy = 0 if cfg.adapter.shares and reward_model_shares(cfg) else it.shape.parameters
    return memory.reward_model(it.shape, network, pairs, drawn, how, policy=policy)


def ppo(it: Estimate) -> Peak:
    cfg = it.cfg
    sizes = cfg.ppo.minibatch_size, cfg.ppo.rollout_size, cfg.evaluation.prompts
    update, rollout, heldout = (it.drawn(size).share(cfg.trainer.ranks) for size in sizes)
    drawing = draws(cfg.algorithm)
    if not drawing:  # both texts of its pairs
        pairs = it.batch("reward_model", it.data.preferences)
        update = replace(pairs, count=2 * cfg.ppo.minibatch_size).share(cfg.trainer.ranks)
    if of_algorithm(cfg.algorithm, "keeps_best", False):
        best = -(-cfg.ppo.rollout_size // cfg.ppo.responses_per_prompt)
        update = update.at_most(-(-best // cfg.trainer.ranks))
    how = training(it, cfg.ppo, update, rollout, adapted=cfg.adapter.is_used)
    if not drawing and how.micro is not None and cfg.ppo.micro_batch_tokens is None:
        how = replace(how, micro=2 * how.micro)
    if exact_in_loss(cfg):
        how = replace(how, logits=READ_LOGITS)
    values = trains_values(cfg.algorithm, cfg.advantage)
    drawn = [(rollout, "ppo.rollout_size")] * drawing + [(heldout, "evaluation.prompts")]
    kept = graphs(it.shape, cfg, [rows.at_most(how.reads) for rows, _ in drawn], how.how)
    peak = policy.ppo(
        it.shape,
        roles(it.shape, cfg, values=values),
        replace(how, reads=0) if kept else how,  # what stays does not come and go
        update=update,
        drawn=drawn,
        values=values and cfg.adapter.kind != "head",
        judged=reward_models(cfg) > 0,
        demonstrations=demonstrations(it) if drawing else None,
        draws_older=of_algorithm(cfg.algorithm, "draws_older", False),
    )
    return replace(peak, terms=(*peak.terms, *kept))


def demonstrations(it: Estimate) -> Rows | None:
    """Those that an optimizer step learns beside as many responses; None where it learns none."""
    cfg = it.cfg
    if "demonstrations" not in learns_from(cfg.algorithm):
        return None
    rows = it.batch("sft", it.data.demonstrations)
    return replace(rows, count=cfg.ppo.minibatch_size).share(cfg.trainer.ranks)


def graphs(shape: ModelShape, cfg: Config, drawn: Sequence[Rows], how: Pass) -> list[Term]:
    """What the graphs of decoding steps keep, on a GPU: keys and values of the most rows and slots,
    both rounded up, and the logits of a token."""
    settings, on = cfg.generation, how.on_gpu and cfg.trainer.strategy != "fsdp"
    if not (on and settings.engine == "torch" and settings.graphs):
        return []
    counts = [rounded(rows.count, GRAPH_ROWS) for rows in drawn]
    slots = rounded(max(rows.tokens for rows in drawn), GRAPH_SLOTS)
    most = Rows(count=max(counts), tokens=slots, response=1)
    size = cache(shape, most, how) + logits(shape, most, DRAWN_LOGITS, how)
    shrinks = ("generation.graphs=false", "generation.micro_batch_size")
    return [Term("keys and values that CUDA graphs keep", size, shrinks)]


def supervised(
    shape: ModelShape, cfg: Config, trained: str, parameters: int, *, head: int
) -> Network:
    """Of a stage that trains a network of so many parameters, under a head of `head` numbers; 0
    where the head is the network's own."""
    if trained == ADAPTER:
        return Network(frozen=parameters, added=size_of_adapter(shape, cfg) + head)
    layers = layers_of(trained)
    if layers is None:
        return Network(trained=parameters, added=head)
    own = 0 if head else shape.parameters - shape.backbone
    learned = shape.last(layers) + own
    return Network(trained=learned, frozen=parameters - learned, added=head)


def roles(shape: ModelShape, cfg: Config, *, values: bool) -> list[Network]:
    """PPO's: policy, value model where there is one, reference and start, reward models."""
    adapter, judges = cfg.adapter, reward_models(cfg)
    whole, backbone, head = shape.parameters, shape.backbone, shape.hidden
    moves = kl_properties(cfg.kl)["reference"].moves
    if not adapter.is_used:
        valued = [Network(trained=backbone, added=head)] if values else []
        references = Network(frozen=(2 if moves else 1) * whole)
        return [Network(trained=whole), *valued, references, Network(frozen=judges * backbone)]
    own = size_of_adapter(shape, cfg)
    scalar = head + (own if adapter.kind == "lora" else 0)
    apart = 0 if adapter.shares else backbone
    judge = apart if reward_model_shares(cfg) and cfg.reward_model.path is None else backbone
    others = own * (moves + (cfg.sft.trained == ADAPTER))
    return [
        Network(frozen=whole, added=own, read=others),
        *([Network(frozen=apart, added=scalar)] if values else []),
        Network(frozen=judges * judge, read=judges * scalar),
    ]


def exact_in_loss(cfg: Config) -> bool:
    """Whether the reference's logits stay beside the policy's in an update."""
    if of_algorithm(cfg.algorithm, "reads_reference", False):
        return True
    pieces = kl_properties(cfg.kl)
    return bool(pieces["placement"].in_loss and not pieces["estimator"].needs_policy_samples)


# --- how a stage trains


def training(
    it: Estimate, settings: Any, rows: Rows, drawn: Rows | None = None, adapted: bool | None = None
) -> Training:
    """`rows`: of a step. `drawn`: responses. `adapted`: adapters are trained; None: where the
    stage's `trained` says so."""
    cfg, shape, part = it.cfg, it.shape, getattr(settings, "trained", "all")
    if adapted is None:
        adapted = part == ADAPTER
    reads = None if drawn is None else micro(cfg.generation, drawn)
    return Training(
        how=passing(shape, cfg, layers=None if adapted else layers_of(part), adapted=adapted),
        moments=moments(settings.optimizer),
        micro=micro(settings, rows),
        reads=reads,
        parts=cfg.trainer.ranks if cfg.trainer.strategy == "fsdp" else 1,
    )


def passing(shape: ModelShape, cfg: Config, *, layers: int | None, adapted: bool) -> Pass:
    precision = PRECISIONS[cfg.trainer.precision]
    kept = getattr(cfg.model, "dtype", "float32")
    if kept != "float32" and (adapted or cfg.adapter.kind == "head"):
        weight = 2.0 if kept == "bfloat16" else four_bit_weight(shape)
        precision = replace(precision, weight=weight, narrow=2)
    return Pass(
        precision=precision,
        layers=layers,
        adapted=adapters.adapted(cfg.adapter.targets) if adapted else None,
        eager=getattr(cfg.model, "attention", "auto") == "eager",
        checkpointing=cfg.trainer.gradient_checkpointing,
        on_gpu=cfg.trainer.accelerator == "cuda",
    )


def four_bit_weight(shape: ModelShape) -> float:
    """Bytes of a weight on average where linear layers have NF4's 4 bits and scales (0.13 bits,
    themselves quantised: arXiv 2305.14314, section 3), and embedding and head 16."""
    wide = shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    return (4.13 / 8 * (shape.parameters - wide) + 2 * wide) / shape.parameters


def micro(settings: Any, rows: Rows) -> int | None:
    """Rows of a pass, by `micro_batch_size` and `micro_batch_tokens`; None: all."""
    count = getattr(settings, "micro_batch_size", None)
    if tokens := getattr(settings, "micro_batch_tokens", None):
        by_tokens = max(1, tokens // rows.tokens)
        count = by_tokens if count is None else min(count, by_tokens)
    return count


def moments(optimizer: Any) -> float:
    """Numbers of 32 bits that an optimizer keeps for each parameter."""
    if isinstance(optimizer, SGD):
        return float(optimizer.momentum > 0)
    return 0.5 if isinstance(optimizer, AdamW8bit) else 2.0


PEAKS: dict[str, Callable[[Estimate], Peak]] = {
    "sft": sft,
    "reward_model": reward_model,
    "ppo": ppo,
}


def peaks(it: Estimate) -> list[Peak]:
    """Of the stages that are known here, in their order."""
    return [PEAKS[name](it) for name in it.trained if name in PEAKS]
