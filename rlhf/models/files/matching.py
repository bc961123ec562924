"""Whether a reward model reads the ids that a policy writes: their configurations and tokenizers,
compared without weights."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from typing import Any

from rlhf.data.rendering.choice import own_template, undated
from rlhf.digests import digest

SPECIAL = ("bos_token_id", "eos_token_id")  # a pad is masked: it may be another
# of a fast tokenizer, how text is cut into tokens
CUT = ("normalizer", "pre_tokenizer")


def tokenizer_faults(policy: Any, other: Any, templates: Sequence[str]) -> Iterator[str]:
    """A sentence for each difference between a policy's tokenizer and a reward model's that gives
    an id another meaning, or a text other ids: vocabulary, merges, how text is cut, BOS and EOS,
    the chat template. Another pad is no difference, and no template is none.

    Args:
        templates: the spellings of the run's chat template.
    """
    yield from _vocabulary_faults(policy, other)
    for part, (ours, theirs) in _cutting(policy, other).items():
        if ours != theirs:
            yield (
                f"tokenizer.{part} has the sha256 {digest(theirs)[:12]}, the policy's"
                f" {digest(ours)[:12]}"
            )
    for name in SPECIAL:
        ours, theirs = getattr(policy, name), getattr(other, name)
        if ours != theirs:
            yield f"{name} is {_shown(other, theirs)}, the policy's is {_shown(policy, ours)}"
    template = own_template(other)
    if template is not None and undated(template) not in {*map(undated, templates)}:
        yield (
            f"chat_template has the sha256 {digest(template)[:12]}, the run's"
            f" {digest(templates[0])[:12]}: it would read conversations in a form that it was not"
            " trained on (data.template chooses the run's)"
        )


def _vocabulary_faults(policy: Any, other: Any) -> Iterator[str]:
    ours, theirs = policy.get_vocab(), other.get_vocab()
    pads = {policy.pad_token, other.pad_token}
    differ = sorted(t for t in {*ours, *theirs} - pads if ours.get(t) != theirs.get(t))
    if differ:
        token = differ[0]
        yield (
            f"the vocabulary has {len(theirs)} tokens, the policy's {len(ours)}: {len(differ)}"
            f" have other ids ({token!r} is {_id(theirs, token)}, the policy's"
            f" {_id(ours, token)})"
        )


def _id(vocabulary: dict[str, int], token: str) -> str:
    return str(vocabulary.get(token, "no token"))


def _shown(tokenizer: Any, i: int | None) -> str:
    return "none" if i is None else f"{i} ({tokenizer.convert_ids_to_tokens(i)!r})"


def _cutting(policy: Any, other: Any) -> dict[str, tuple[Any, Any]]:
    """What a fast tokenizer does beside its vocabulary, of both; empty where one is a slow one."""
    if not (policy.is_fast and other.is_fast):
        return {}
    ours, theirs = (json.loads(t.backend_tokenizer.to_str()) for t in (policy, other))
    merges = (_model(ours), _model(theirs))
    return {"model": merges, **{part: (ours.get(part), theirs.get(part)) for part in CUT}}


def _model(written: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in written["model"].items() if key != "vocab"}


def scalar_faults(config: Any, outline: Any) -> Iterator[str]:
    """A sentence for each reason why a sequence classifier cannot be a reward model here.

    Args:
        outline: the model of the config without weights; None where that is not known.
    """
    if (labels := config.num_labels) != 1:
        yield f"num_labels is {labels}, expected 1: a reward is one number"
    if quantized(config):
        yield quantized(config)
    if outline is None:
        return
    kind = type(outline).__name__
    if not hasattr(outline, "score"):
        yield (
            f"model_type is {config.model_type}, and {kind} has no head `score` on the last token:"
            " expected a decoder that reads from left to right"
        )
    elif "position_ids" not in inspect.signature(outline.base_model.forward).parameters:
        yield f"model_type is {config.model_type}: its models take no position_ids"


def quantized(config: Any) -> str:
    """The reason where a model's weights are quantised; empty where they are not."""
    if getattr(config, "quantization_config", None) is None:
        return ""
    return (
        "quantization_config is set: its weights are quantised, and are not trained here; take the"
        " model in float32, bfloat16 or float16"
    )
