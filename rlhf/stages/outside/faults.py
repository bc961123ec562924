"""The differences between the models of a run that would make its numbers wrong, found before
anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from transformers import PreTrainedConfig

from rlhf.config.checks.adapter import OWN_NETWORK
from rlhf.config.properties import has_own_weights, trains_values
from rlhf.data.rendering.choice import MODEL, own_template
from rlhf.models.checks import positions_of, vocabulary_faults
from rlhf.models.files.adapter import is_adapter, is_scalar
from rlhf.models.files.matching import quantized, scalar_faults, tokenizer_faults
from rlhf.models.load import HFModel, outline
from rlhf.stages.outside.adapter import adapter_faults
from rlhf.stages.outside.pieces import (
    Outside,
    RewardModelFolder,
    place_of,
    reward_model_piece,
    reward_model_tokenizer,
)

if TYPE_CHECKING:
    from rlhf.stages.inputs import Inputs


def model_faults(context: Inputs) -> list[str]:
    """A sentence for each difference between the policy, the reward model and what a run needs of
    both, by their configurations and tokenizers. The reference is the policy's own copy, and the
    value model is one of the policy or of the reward model: what holds of these holds of it."""
    faults = [*_policy_faults(context), *_value_faults(context)]
    others = context.other_configs
    if (piece := reward_model_piece(context.cfg)) and piece.key in others:
        faults += _reward_model_faults(context, piece, others[piece.key])
    elif "model" in others and isinstance(context.model, HFModel):
        start = f"model.path={context.model.path} (reward_model.init=model): "
        own = context.model.tokenizer(lambda: context.tokenizer)
        faults += [
            start + each for each in tokenizer_faults(context.tokenizer, own, templates_of(context))
        ]
    return faults


def _policy_faults(context: Inputs) -> Iterator[str]:
    start, config = context.start, context.model_config
    if config is None or not isinstance(start, HFModel):
        return
    if reason := quantized(config):
        yield f"{start.key}={start.path}: {reason}"
    if is_adapter(start.path) and is_scalar(start.path):
        yield (
            f"{start.key}={start.path}: is a reward model's adapter, expected a policy's; a reward"
            " model is given by reward_model.path"
        )
    elif isinstance(start, Outside) and start.base is not None:
        yield from adapter_faults(context.cfg, start, config)
    kinds = getattr(config, "architectures", None) or []
    if any(kind.endswith("ForSequenceClassification") for kind in kinds):
        yield (
            f"{start.key}={start.path}: is a {kinds[0]}, expected a causal LM; a reward model is"
            " given by reward_model.path"
        )


def _value_faults(context: Inputs) -> Iterator[str]:
    """Where the value model would begin as a view of a reward model that is given, and that one
    stands on another network than the policy."""
    cfg, piece = context.cfg, reward_model_piece(context.cfg)
    values = trains_values(cfg.algorithm, cfg.advantage) and cfg.ppo.value_init != "policy"
    if piece is None or cfg.stage != "ppo" or not (values and cfg.adapter.shares):
        return
    start = context.start
    below = (start.base or start) if isinstance(start, Outside) else start
    known = start is not context.model or not has_own_weights(cfg)
    other = isinstance(below, HFModel) and known and place_of(below)
    if piece.base is None or (other and place_of(piece.base) != other):
        yield f"ppo.value_init={cfg.ppo.value_init}: {OWN_NETWORK} ({piece.path})"


def _reward_model_faults(
    context: Inputs, piece: RewardModelFolder, config: PreTrainedConfig
) -> list[str]:
    start, policy = f"{piece.key}={piece.path}", context.tokenizer
    kinds = getattr(config, "architectures", None) or []
    if piece.base is not None and not is_scalar(piece.path):
        return [
            f"{start}: is a policy's adapter, expected a reward model's (task_type=SEQ_CLS, a head"
            " called score); a policy is given by sft.path"
        ]
    if (
        piece.base is None
        and kinds
        and not any(kind.endswith("ForSequenceClassification") for kind in kinds)
    ):
        return [
            f"{start}: is a {kinds[0]}, expected a model for sequence classification with"
            " num_labels=1; a policy is given by sft.path"
        ]
    reasons = [
        *([] if piece.base else scalar_faults(config, outline(config, scalar=True))),
        *_position_faults(context, config),
    ]
    own = reward_model_tokenizer(piece)
    differences = [*tokenizer_faults(policy, own, templates_of(context))]
    if differences:
        differences[-1] += (
            ". A reward model reads the ids that the policy writes; one with a tokenizer of its own"
            f" scores texts: scorer=classifier scorer.path={piece.path}"
        )
    else:
        rows = getattr(config.get_text_config(), "vocab_size", None)
        differences += [] if rows is None else vocabulary_faults(policy, rows)
    beside = [*adapter_faults(context.cfg, piece, config)] if piece.base else []
    return [*(f"{start}: {each}" for each in (*reasons, *differences)), *beside]


def _position_faults(context: Inputs, config: PreTrainedConfig) -> Iterator[str]:
    """Where a reward model reads fewer tokens than the policy, `data.on_long_prompt` is the rule
    for prompts that are too long for it; none has room where a response alone fills it."""
    there, most = positions_of(config), context.cfg.generation.max_new_tokens
    if there is not None and most >= there:
        yield (
            f"max_position_embeddings is {there}, the policy's"
            f" {positions_of(context.model_config) or 'without a limit'}:"
            f" generation.max_new_tokens={most} leaves no room for a prompt; set it below {there}"
        )


def templates_of(context: Inputs) -> list[str]:
    """The run's template, as it is saved with a model and as the policy came with it."""
    run, own = context.rendering.template, own_template(context.tokenizer)
    return [run.text, *([own] if own and run.name == MODEL else [])]
