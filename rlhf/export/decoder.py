"""Draws from ref^(1 - lambda) pi^lambda, token by token: a policy held closer to its reference
(lambda below 1), or farther from it (above 1), without training. Needs transformers alone.

    log p(y_t | y_<t) = (1 - lambda) log ref(y_t | y_<t) + lambda log pi(y_t | y_<t) - log Z(y_<t)

The optimum of reward - beta KL to the reference becomes, of whole responses, that at beta / lambda
(DeRa, Liu et al., ICML 2024, arXiv 2402.02992). Temperature, top-k and top-p of `generate` come
after the mixing: the temperature is then that of both models, the others are of the mixture.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor


class Realign(LogitsProcessor):
    """For greedy decoding and sampling; the policy is the model that generates.

    It reads the reference itself, with a cache of its own: a token each step. Beams, whose rows
    change places, are read anew each step, which is slow.

    Args:
        reference: the model that the policy was trained from.
        weight: lambda, at least 0; 0 is the reference, 1 the policy.
        attention_mask: of the prompts, where they are padded on the left.
    """

    def __init__(self, reference: Any, weight: float, attention_mask: Tensor | None = None) -> None:
        if not weight >= 0:
            raise ValueError(f"lambda must be at least 0, got {weight}")
        self.reference, self.weight, self.attention_mask = reference, weight, attention_mask
        self.read: Tensor | None = None  # the tokens that are in the cache
        self.cache: Any = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.weight == 1:
            return scores
        ref = self.ref_logits(input_ids).to(scores)
        excluded = scores == -torch.inf  # by whom it may be: never drawn
        if self.weight == 0:
            return ref.masked_fill(excluded, -torch.inf)
        mixed = torch.lerp(ref, scores, self.weight)
        return mixed.masked_fill(excluded | (ref == -torch.inf), -torch.inf)

    @torch.no_grad()
    def ref_logits(self, input_ids: Tensor) -> Tensor:
        """[B, V] of the reference, in float32, for the token after these [B, L]."""
        begun = self.read is not None and torch.equal(self.read, input_ids[:, :-1])
        if not begun:
            self.cache = None
        real = torch.ones_like(input_ids)
        if self.attention_mask is not None:
            # several sequences of a prompt stand side by side
            each = len(input_ids) // len(self.attention_mask)
            mask = self.attention_mask.repeat_interleave(each, dim=0)
            real[:, : mask.shape[1]] = mask
        places = (real.cumsum(1) - 1).clamp(min=0)
        new = slice(-1, None) if begun else slice(None)
        device = self.reference.device
        output = self.reference(
            input_ids=input_ids[:, new].to(device),
            attention_mask=real.to(device),
            position_ids=places[:, new].to(device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache, self.read = output.past_key_values, input_ids
        logits: Tensor = output.logits[:, -1].float()
        return logits


def load(folder: str | Path, **options: Any) -> tuple[Any, Any, Any, float]:
    """The policy, its reference, the tokenizer and lambda of a folder; `options` as from_pretrained
    takes them (device_map, dtype)."""
    place = Path(folder)
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(place / name, **options).eval()
        for name in ("policy", "reference")
    )
    own_code = {k: options[k] for k in ("trust_remote_code",) if k in options}
    tokenizer = AutoTokenizer.from_pretrained(place / "policy", **own_code)
    weight = json.loads((place / "realign.json").read_text())["lambda"]
    return policy, reference, tokenizer, float(weight)
