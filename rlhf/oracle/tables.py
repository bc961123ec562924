"""Policies that are tables: one row of logits for each prefix, so that any distribution over the
responses is one of them, and every expectation is a sum over a list."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.functional.logprobs import token_logp
from rlhf.functional.masking import masked_sum
from rlhf.oracle.enumerate import enumerate_responses


@dataclass(frozen=True, kw_only=True)
class Tree:
    """All N responses of up to T tokens out of V, and the prefix that each token was drawn at."""

    tokens: Tensor  # [N, T]
    mask: Tensor  # [N, T]
    prefix: Tensor  # [N, T] the row of a table for the prefix before each token
    rows: int  # S: of a table [S, V]
    vocab_size: int

    def logits(self, table: Tensor) -> Tensor:
        """[S, V] -> [N, T, V], before each token."""
        return table[self.prefix]

    def logp(self, table: Tensor) -> Tensor:
        """log pi(y_t | y_<t) of each token: [S, V] -> [N, T], unmasked."""
        return token_logp(self.logits(table), self.tokens)

    def sequence_logp(self, table: Tensor) -> Tensor:
        """log pi(y) of each response: [S, V] -> [N]; their probabilities add up to 1."""
        return masked_sum(self.logp(table), self.mask, dim=-1)

    def table_of(self, logp: Tensor) -> Tensor:
        """The table whose responses have these log-probabilities: [N] -> [S, V], the log of the
        mass behind each prefix and token."""
        mass = logp.exp().unsqueeze(-1).expand_as(self.mask)[self.mask]
        empty = logp.new_zeros(self.rows, self.vocab_size)
        at = (self.prefix[self.mask], self.tokens[self.mask])
        return empty.index_put(at, mass, accumulate=True).clamp(min=1e-300).log()


def prefix_tree(vocab_size: int, eos_id: int, max_length: int) -> Tree:
    """The tree of all responses; a prefix's row counts the tokens in base V + 1. Raises ValueError
    as `enumerate_responses`."""
    tokens, mask = enumerate_responses(vocab_size, eos_id, max_length)
    prefix = torch.zeros_like(tokens)
    for t in range(1, max_length):
        prefix[:, t] = prefix[:, t - 1] * (vocab_size + 1) + tokens[:, t - 1] + 1
    # only the prefixes that a token is drawn at have a row
    used, row = prefix[mask].unique(return_inverse=True)
    return Tree(
        tokens=tokens,
        mask=mask,
        prefix=torch.zeros_like(prefix).masked_scatter(mask, row),
        rows=len(used),
        vocab_size=vocab_size,
    )
