"""A causal LM as a policy: the distribution that it is read as, and its reading of responses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.at_once import AtOnce
from rlhf.functional.vocabulary import Read, first, read
from rlhf.models.adapters.views import Policy
from rlhf.models.checks import (
    precision_faults,
    textless_ids,
    vocabulary_faults,
    vocabulary_size,
)
from rlhf.models.packing.layouts import padded
from rlhf.models.packing.packs import in_packs
from rlhf.models.packing.probe import settle
from rlhf.models.packing.read import logits_at, spread
from rlhf.rundir.errors import ModelError
from rlhf.types import Rollout, TokenView


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
    settle(model)
    return model


def _real_ids(size: int, gaps: Tensor, module: nn.Module, arguments: Any, output: Any) -> Any:
    logits = first(output.logits, size)
    if len(gaps):
        logits = logits.index_fill(-1, gaps.to(logits.device), -torch.inf)
    output.logits = logits
    return output


def _contiguous(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.contiguous() if isinstance(x, torch.Tensor) else x for x in arguments)


def response_logits(model: Policy, tokens: Tensor, attention: Tensor, length: int) -> Tensor:
    """Logits that predict the last `length` tokens: tokens, attention [B, L] -> [B, length, V], in
    the model's own precision. Padding goes through the network too."""
    logits: Tensor = model(**padded(tokens, attention), logits_to_keep=length + 1).logits
    return logits[:, :-1]


@dataclass(frozen=True, kw_only=True)
class PolicyReader:
    """A network that reads responses at the sampling temperature, as many a forward pass as
    `at_once` lets.

    The reference is one. A reference that is not a network of its own (the policy's with its
    adapter off, say) overrides `predictions`.
    """

    model: Policy
    temperature: float
    at_once: AtOnce = AtOnce()

    def predictions(self, rollout: Rollout) -> Tensor:
        """[N, V] as the network gives them, in one forward pass, with their gradient: the logits
        that predict the response's N counted tokens, row by row."""
        return logits_at(self.model, rollout.sequence, rollout.attention, before(rollout))

    def read(
        self, rollout: Rollout, ref_logits: Tensor | None = None, *, entropy: bool = False
    ) -> Read:
        """Log-probabilities [B, T] of the response's tokens in one forward pass, with their
        gradient, 0 where masked; where asked for with the entropy, and with the KL to another
        reader's `predictions`."""
        return self._read(rollout, self.predictions(rollout), ref_logits, entropy=entropy)

    def _read(
        self, rollout: Rollout, logits: Tensor, ref_logits: Tensor | None, *, entropy: bool
    ) -> Read:
        counted = read(
            logits,
            rollout.tokens[rollout.mask],
            ref_logits,
            temperature=self.temperature,
            entropy=entropy,
            used_up=True,
        )
        return Read(
            logp=spread(counted.logp, rollout.mask),
            entropy=_spread(counted.entropy, rollout.mask),
            exact_kl=_spread(counted.exact_kl, rollout.mask),
        )

    @torch.no_grad()
    def logp(self, rollout: Rollout) -> Tensor:
        """[B, T] log-probabilities of the response's tokens, 0 where masked."""

        def part(index: Tensor) -> tuple[Tensor]:
            return (self.read(rollout.rows(index)).logp,)

        return in_packs(part, rollout.attention, self.at_once, self.model)[0]

    @torch.no_grad()
    def view(self, reference: PolicyReader, rollout: Rollout) -> TokenView:
        """Both models' numbers for each token. A forward pass has half as many responses as this
        one reads: the logits of both are there at a time."""

        def part(index: Tensor) -> tuple[Tensor, ...]:
            rows = rollout.rows(index)
            ref_logits = reference.predictions(rows)
            ref = reference._read(rows, ref_logits, None, entropy=False)
            own = self.read(rows, ref_logits, entropy=True)
            assert own.exact_kl is not None and own.entropy is not None
            return own.logp, ref.logp, own.exact_kl, own.entropy

        models = (self.model, reference.model)
        half = self.at_once.reading(rollout.tokens.device.type).shared_by(len(models))
        columns = in_packs(part, rollout.attention, half, *models)
        return TokenView(**dict(zip(VIEW, columns, strict=True)))


VIEW = ("logp", "ref_logp", "exact_kl", "entropy")


def before(rollout: Rollout) -> Tensor:
    """[B, L] bool: the positions of a rollout's sequence that predict its counted tokens, which
    stand behind them."""
    keep = torch.zeros_like(rollout.attention)
    start = rollout.prompt.tokens.shape[1] - 1
    keep[:, start:-1] = rollout.mask
    return keep


def _spread(numbers: Tensor | None, mask: Tensor) -> Tensor | None:
    return None if numbers is None else spread(numbers, mask)
