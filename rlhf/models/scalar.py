"""Reward model and value model: a backbone with a scalar head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.at_once import AtOnce
from rlhf.functional.sequences import last_index
from rlhf.models.files.folder import saving
from rlhf.models.files.padding import for_scores
from rlhf.models.packing.attention import NAME
from rlhf.models.packing.choice import shares_beginnings
from rlhf.models.packing.layouts import padded
from rlhf.models.packing.packs import in_packs
from rlhf.models.packing.prefixes import alike, ids_of
from rlhf.models.packing.probe import settle
from rlhf.models.packing.read import spread, states_at
from rlhf.models.packing.trim import trimmed
from rlhf.types import Rollout


class Scalar(nn.Module, ABC):
    """A scalar at every position: a head's reading of a backbone's states.

    Every output is (head - score_mean) / score_std, the normalisation of Ziegler et al. 2019 (arXiv
    1909.08593, section 2.1), 0 and 1 until `normalize`. So a value model that begins as a copy of
    the reward model has its scale. `fold` brings the scale into the head, for whoever reads the
    logits without us.
    """

    @property
    @abstractmethod
    def network(self) -> PreTrainedModel:
        """The network that gives the states."""

    @property
    @abstractmethod
    def head(self) -> nn.Linear: ...

    def states_at(self, tokens: Tensor, attention: Tensor, keep: Tensor) -> Tensor:
        """The backbone's states at the kept positions, row by row: [B, L] each -> [N, hidden]."""
        return states_at(self.network, tokens, attention, keep)

    def states(self, tokens: Tensor, attention: Tensor) -> Tensor:
        """tokens, attention [B, L] -> the backbone's states [B, L, hidden], where padding goes
        through the network too."""
        states: Tensor = self.network.base_model(**padded(tokens, attention)).last_hidden_state
        return states

    @property
    @abstractmethod
    def normalization(self) -> tuple[float, float]:
        """score_mean and score_std."""

    @abstractmethod
    def set_normalization(self, mean: float, std: float) -> None: ...

    def forward(self, tokens: Tensor, attention: Tensor) -> Tensor:
        """tokens, attention [B, L] -> [B, L], float32."""
        return self.read(self.states(tokens, attention))

    def read(self, states: Tensor) -> Tensor:
        """The head's reading of states [..., hidden] -> [...], normalised, float32."""
        mean, std = self.normalization
        with torch.autocast(states.device.type, enabled=False):  # a reward of 16 bits has steps
            raw = _in_float32(self.head, states.float())
        return (raw.squeeze(-1) - mean) / std

    def score(self, tokens: Tensor, attention: Tensor) -> Tensor:
        """[B, L] -> [B]: the scalar at each row's last counted token, whichever side is padded."""
        return self.read(self.last_states(tokens, attention))

    def last_states(self, tokens: Tensor, attention: Tensor) -> Tensor:
        """[B, L] -> [B, hidden]: the states that `score` reads."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.states_at(tokens, attention, places == last_index(attention)[:, None])

    def values(self, tokens: Tensor, attention: Tensor, length: int) -> Tensor:
        """[B, L] -> [B, length]: for each of the last `length` tokens the scalar of the state
        **before** it, 0 where it does not count."""
        counted, keep = attention[:, -length:], torch.zeros_like(attention)
        keep[:, -length - 1 : -1] = counted
        return spread(self.read(self.states_at(tokens, attention, keep)), counted)

    @torch.no_grad()
    def predict(self, rollout: Rollout, at_once: AtOnce) -> Tensor:
        """[B, T] `values` of the response's tokens, 0 where masked; so many responses a forward
        pass."""

        def part(index: Tensor) -> tuple[Tensor]:
            some = rollout.rows(index)
            return (self.values(some.sequence, some.attention, some.tokens.shape[1]),)

        return in_packs(part, rollout.attention, at_once, self)[0]

    def normalize(self, scores: Tensor) -> None:
        """From now on these `scores` [N] of ours would have mean 0 and std 1 (a std below 1e-6,
        all scores equal, is left alone)."""
        mean, std = self.normalization
        deviation = float(scores.std(correction=0))
        self.set_normalization(
            mean + std * float(scores.mean()), std * (deviation if deviation > 1e-6 else 1.0)
        )

    @torch.no_grad()
    def fold(self) -> None:
        """Brings score_std into the head's weight, so that an output is head - score_mean; none
        changes beyond rounding."""
        mean, std = self.normalization
        for parameter in self.head.parameters():
            parameter.div_(std)
        self.set_normalization(mean / std, 1.0)

    def with_zero_head(self) -> Self:
        """This model, after its head was set to zeros and its normalisation dropped: every output
        is 0."""
        with torch.no_grad():
            for parameter in self.head.parameters():
                parameter.zero_()
        self.set_normalization(0.0, 1.0)
        return self


class ScalarModel(Scalar):
    """A network of its own in Hugging Face's sequence-classification layout (`num_labels=1`), which
    is what it saves; its config records the normalisation."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        # one that was made of a policy's network is of another class, without that one's hooks
        self.model = trimmed(model) if model.config._attn_implementation == NAME else model
        settle(model)

    @property
    def network(self) -> PreTrainedModel:
        return self.model

    @property
    def head(self) -> nn.Linear:
        return cast(nn.Linear, self.model.score)

    @property
    def normalization(self) -> tuple[float, float]:
        config = self.model.config
        return getattr(config, "score_mean", 0.0), getattr(config, "score_std", 1.0)

    def set_normalization(self, mean: float, std: float) -> None:
        self.model.config.score_mean, self.model.config.score_std = mean, std

    def save(
        self, path: Path, tokenizer: PreTrainedTokenizerBase, *, stop_ids: Collection[int] = ()
    ) -> None:
        """Writes a directory that transformers reads the same: it takes the last token that is not
        the pad, so the pad there is one that no text and no template has. `stop_ids`: those that
        end a response, beside the tokenizer's EOS."""
        own = for_scores(self.model, tokenizer, stop_ids)
        with saving(path, self.model):
            self.model.save_pretrained(path)
            own.save_pretrained(path)


def _in_float32(head: nn.Linear, states: Tensor) -> Tensor:
    """What the head makes of float32 states."""
    if head.weight.dtype == torch.float32:
        made: Tensor = head(states)  # called, as one that lies in parts on several ranks must be
        return made
    return nn.functional.linear(states, *(p.float() for p in head.parameters()))


def scores(model: Scalar, tokens: Tensor, attention: Tensor, at_once: AtOnce) -> Tensor:
    """[B, L] -> [B]: `model.score`, so many rows a forward pass; texts that begin alike go
    together."""
    groups = None
    if shares_beginnings(model.network):
        groups = alike(ids_of(tokens, attention), at_once.reading(attention.device.type))

    def part(index: Tensor) -> tuple[Tensor]:
        return (model.score(tokens[index], attention[index]),)

    return in_packs(part, attention, at_once, model, groups=groups)[0]
