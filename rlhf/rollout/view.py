"""The models' numbers for each token of a rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf.functional.kl import exact
from rlhf.functional.logprobs import entropy, token_logp
from rlhf.models.policy import PolicyReader
from rlhf.models.scalar import ScalarModel
from rlhf.types import Rollout, TokenView


@torch.no_grad()
def view_tokens(policy: PolicyReader, reference: PolicyReader, rollout: Rollout) -> TokenView:
    """Both models' log-probabilities, as many responses a forward pass as the policy reads."""
    parts = []
    for part in rollout.split(policy.rows):
        logits, ref_logits = policy.logits(part), reference.logits(part)
        parts.append(
            (
                token_logp(logits, part.tokens),
                token_logp(ref_logits, part.tokens),
                exact(logits, ref_logits),
                entropy(logits),
            )
        )
    logp, ref_logp, exact_kl, spread = (
        torch.cat(column).masked_fill(~rollout.mask, 0.0) for column in zip(*parts, strict=True)
    )
    return TokenView(logp=logp, ref_logp=ref_logp, exact_kl=exact_kl, entropy=spread)


@torch.no_grad()
def predict_values(model: ScalarModel, rollout: Rollout, *, rows: int) -> Tensor:
    """[B, T] values of the state before each token, 0 where masked."""
    parts = [
        model.values(part.sequence, part.attention, part.tokens.shape[1])
        for part in rollout.split(rows)
    ]
    return torch.cat(parts).masked_fill(~rollout.mask, 0.0)
