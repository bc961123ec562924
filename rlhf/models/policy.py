"""The policy's view of its own responses."""

from __future__ import annotations

from torch import Tensor
from transformers import PreTrainedModel

from rlhf.functional.sequences import positions


def response_logits(
    model: PreTrainedModel, tokens: Tensor, attention: Tensor, length: int
) -> Tensor:
    """Logits that predict the last `length` tokens: tokens, attention [B, L] -> [B, length, V],
    float32.

    Position ids come from the mask, so that padding on the left changes nothing (GPT-2 would number
    the pads).
    """
    logits: Tensor = model(
        input_ids=tokens,
        attention_mask=attention.long(),
        position_ids=positions(attention),
        use_cache=False,
        logits_to_keep=length + 1,
    ).logits
    return logits[:, :-1].float()
