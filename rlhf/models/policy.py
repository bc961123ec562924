"""A causal LM as a policy: the distribution that it is read as, and its reading of responses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.functional.sequences import positions
from rlhf.functional.vocabulary import Read, read, tempered
from rlhf.models.checks import (
    precision_faults,
    textless_ids,
    vocabulary_faults,
    vocabulary_size,
)
from rlhf.rundir.errors import ModelError
from rlhf.types import AtOnce, Rollout, TokenView


def policy_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The model as policies and references are read: a distribution over the tokenizer's ids, by
    one path whether its weights are trained or frozen.

    A head that is larger than the tokenizer gives ids without text: their logits are left out of
    whatever the model returns (-inf in gaps), so sampling, log-probabilities, entropy and KL are
    all of the same distribution, and SFT learns that one. A head that reads a slice of the hidden
    states takes another kernel where its weight needs no gradient, unless the slice is contiguous.

    Raises:
        ModelError: ids of the tokenizer lie outside the embedding, or trained weights have 16 bits.
    """
    rows = len(cast(nn.Embedding, model.get_input_embeddings()).weight)
    if faults := vocabulary_faults(tokenizer, rows) + precision_faults(model):
        raise ModelError(faults)
    size, gaps = vocabulary_size(tokenizer), textless_ids(tokenizer)
    if size < rows or gaps:
        model.register_forward_hook(partial(_real_ids, size, torch.tensor(gaps)))
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(_contiguous)
    return model


def _real_ids(size: int, gaps: Tensor, module: nn.Module, arguments: Any, output: Any) -> Any:
    logits = output.logits[..., :size]
    if len(gaps):
        logits = logits.index_fill(-1, gaps.to(logits.device), -torch.inf)
    output.logits = logits
    return output


def _contiguous(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.contiguous() if isinstance(x, torch.Tensor) else x for x in arguments)


def predictions(model: PreTrainedModel, tokens: Tensor, attention: Tensor, length: int) -> Tensor:
    """Logits at the last `length` + 1 positions, of which the last predicts nothing that is there:
    tokens, attention [B, L] -> [B, length + 1, V], in the model's own precision.

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
    return logits


def response_logits(
    model: PreTrainedModel, tokens: Tensor, attention: Tensor, length: int
) -> Tensor:
    """Logits that predict the last `length` tokens: tokens, attention [B, L] -> [B, length, V]."""
    return predictions(model, tokens, attention, length)[:, :-1]


@dataclass(frozen=True, kw_only=True)
class PolicyReader:
    """A network that reads responses at the sampling temperature, `rows` of them a forward pass, or
    fewer where they would have more than `most_tokens` tokens, padding counted.

    The reference is one. A reference that is not a network of its own (the policy's with its
    adapter off, say) overrides `predictions`.
    """

    model: PreTrainedModel
    temperature: float
    rows: int
    most_tokens: int | None = None

    def predictions(self, rollout: Rollout) -> Tensor:
        """[B, T + 1, V] as the network gives them, in one forward pass, with their gradient:
        position t predicts token t of the response, the last one nothing."""
        length = rollout.tokens.shape[1]
        return predictions(self.model, rollout.sequence, rollout.attention, length)

    def logits(self, rollout: Rollout) -> Tensor:
        """[B, T, V] over the temperature, in one forward pass, with their gradient."""
        return tempered(self.predictions(rollout)[:, :-1], self.temperature)

    def read(
        self, rollout: Rollout, ref_logits: Tensor | None = None, *, entropy: bool = False
    ) -> Read:
        """Log-probabilities [B, T] of the response's tokens in one forward pass, with their
        gradient; where asked for with the entropy, and with the KL to another reader's
        `predictions`."""
        return read(
            self.predictions(rollout),
            rollout.tokens,
            ref_logits,
            temperature=self.temperature,
            entropy=entropy,
        )

    def parts(self, rollout: Rollout) -> Iterator[Rollout]:
        """The responses of each forward pass, in order."""
        at_once = AtOnce(rows=self.rows, tokens=self.most_tokens)
        return rollout.split(at_once.of(len(rollout.tokens), rollout.length))

    @torch.no_grad()
    def logp(self, rollout: Rollout) -> Tensor:
        """[B, T] log-probabilities of the response's tokens, 0 where masked."""
        parts = [self.read(part).logp for part in self.parts(rollout)]
        return torch.cat(parts).masked_fill(~rollout.mask, 0.0)

    @torch.no_grad()
    def view(self, reference: PolicyReader, rollout: Rollout) -> TokenView:
        """Both models' numbers for each token, as many responses a forward pass as this one
        reads."""
        parts = []
        for part in self.parts(rollout):
            ref_logits = reference.predictions(part)
            ref = read(ref_logits, part.tokens, temperature=reference.temperature)
            own = self.read(part, ref_logits, entropy=True)
            assert own.exact_kl is not None and own.entropy is not None
            parts.append((own.logp, ref.logp, own.exact_kl, own.entropy))
        logp, ref_logp, exact_kl, entropies = (
            torch.cat(column).masked_fill(~rollout.mask, 0.0) for column in zip(*parts, strict=True)
        )
        return TokenView(logp=logp, ref_logp=ref_logp, exact_kl=exact_kl, entropy=entropies)
