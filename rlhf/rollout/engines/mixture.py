"""Responses of mixtures of a policy and its reference, drawn token by token; rows of all lambdas
together, so that their forward passes are shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache

from rlhf.functional.logprobs import mixture
from rlhf.functional.sequences import positions
from rlhf.functional.vocabulary import read
from rlhf.models.networks import Policy
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.engines.cache import BufferLayer, cache_of, is_buffered, keep_rows
from rlhf.rollout.engines.local import by_length, trimmed
from rlhf.rollout.engines.prefill import read_prompts, read_step, step_mask
from rlhf.rollout.engines.sampler import draw, uniforms
from rlhf.rollout.engines.torch import TorchEngine, going_on
from rlhf.rollout.engines.written import Written
from rlhf.types import PromptBatch, Rollout, TokenView

VIEW = ("logp", "ref_logp", "entropy", "exact_kl")


@dataclass(frozen=True)
class MixtureEngine(TorchEngine):
    """Draws each token from the mixture ref^(1 - lambda) pi^lambda of `model` and `reference`
    (rlhf.functional.logprobs.mixture), whose temperature, top-k and top-p are those of the
    sampling: the temperature of both models, the others of the mixture.

    Both models read the same tokens, each with a cache of its own. Which token a row draws depends
    on its place and its lambda, not on the others: the same place has the same random numbers at
    every lambda. What `respond` gives is the policy's own, as of lambda = 1.
    """

    reference: Policy = field(kw_only=True)

    @torch.no_grad()
    def at_each(
        self,
        prompts: PromptBatch,
        weights: Sequence[float],
        sampling: Sampling,
        generator: torch.Generator,
        rows: Tensor | None = None,
    ) -> list[tuple[Rollout, TokenView]]:
        """For each lambda one response to each prompt, and what mixture and reference say of its
        tokens at the temperature (top-k and top-p aside): log-probabilities, the mixture's entropy
        and its KL to the reference over the vocabulary. `rows` as in `respond`."""
        places = torch.arange(len(prompts)) if rows is None else rows
        u = uniforms(generator, places, sampling.max_new_tokens).to(prompts.tokens.device)
        # rows of one prompt side by side: it is read once for all of them
        each = torch.arange(len(prompts)).repeat_interleave(len(weights))
        every, share = prompts.rows(each), torch.tensor(weights).repeat(len(prompts))
        # the caches of two models live together
        limits = self.at_once.shared_by(2) if self.at_once.limits else self.at_once
        parts = by_length(every.mask.sum(1), sampling.max_new_tokens, limits)
        drawn = [
            self.mixed(trimmed(every.rows(part)), sampling, u[each[part].to(u.device)], share[part])
            for part in parts
        ]
        rollout = self._whole(every, parts, [own for own, _ in drawn])
        view = _view([own for _, own in drawn], parts, rollout.tokens.shape[1])
        index = torch.arange(len(every)).view(len(prompts), len(weights))
        return [(rollout.rows(own), view.rows(own)) for own in index.unbind(1)]

    def mixed(
        self, prompts: PromptBatch, sampling: Sampling, u: Tensor, share: Tensor
    ) -> tuple[Rollout, TokenView]:
        """The responses to some prompts all at once, u [B, max_new_tokens] and lambda `share` [B],
        and what is said of their tokens."""
        (count, width), steps, device = prompts.mask.shape, u.shape[1], u.device
        written = Written.nothing(count, steps, self.pad, device)
        columns = {name: torch.zeros((count, steps), device=device) for name in VIEW}
        share = share.to(device)
        readers = [Reading.of(model, prompts, steps) for model in (self.reference, self.model)]
        rows = torch.arange(count, device=device)  # of the prompts, those in the caches
        for step in range(steps):
            ref_logits, logits = (reader.logits for reader in readers)
            whole = mixture(ref_logits, logits, share[rows])
            drawn = draw(whole, u[rows, step], sampling)
            alive = ~written.ended[rows]
            written.put(rows, step, drawn)
            numbers = numbers_of(whole, ref_logits, written.tokens[rows, step], sampling)
            for name, x in numbers.items():
                columns[name][rows, step] = torch.where(alive, x, 0.0)
            self.end(written, rows, step)
            if step + 1 == steps or bool(written.ended.all()):
                break
            kept = going_on(~written.ended[rows])
            if kept is not None:
                rows = rows[kept]
            for reader in readers:
                reader.go_on(written.tokens[rows, step], width + step + 1, kept)
        rollout = written.rollout(prompts)
        length = rollout.tokens.shape[1]
        return rollout, TokenView(**{name: x[:, :length] for name, x in columns.items()})


@dataclass
class Reading:
    """A model that reads responses as they are written."""

    model: Policy
    cache: DynamicCache
    mask: Tensor  # as `step_mask` gives it
    place: Tensor  # [N, 1] of the last token
    logits: Tensor  # [N, V] after it

    @classmethod
    def of(cls, model: Policy, prompts: PromptBatch, steps: int) -> Reading:
        """After the prompts; `steps` tokens will follow at the most."""
        cache = cache_of(model.config, prompts.mask.shape[1] + steps)
        return cls(
            model=model,
            cache=cache,
            logits=read_once(model, prompts, cache),
            mask=step_mask(model, cache, F.pad(prompts.mask, (0, steps), value=True)),
            place=positions(prompts.mask)[:, -1:],
        )

    def go_on(self, tokens: Tensor, end: int, kept: Tensor | None) -> None:
        """Reads the next token of each row; `kept`: of the rows so far these, None for all. `end`:
        how many tokens there are then."""
        if kept is not None:
            keep_rows(self.cache, kept)
            self.place, self.mask = self.place[kept], self.mask[kept]
        self.place = self.place + 1
        attention = self.mask[..., :end]
        self.logits = read_step(self.model, tokens[:, None], attention, self.place, self.cache)


def numbers_of(
    logits: Tensor, ref_logits: Tensor, tokens: Tensor, sampling: Sampling
) -> dict[str, Tensor]:
    """[N] each: the columns of a view, of one token of each row; logits [N, V] of the mixture."""
    heat = sampling.temperature
    mixed = read(logits, tokens, ref_logits, temperature=heat, entropy=True)
    assert mixed.entropy is not None and mixed.exact_kl is not None
    ref_logp = read(ref_logits, tokens, temperature=heat).logp
    columns = (mixed.logp, ref_logp, mixed.entropy, mixed.exact_kl)
    return dict(zip(VIEW, columns, strict=True))


def read_once(model: Policy, prompts: PromptBatch, cache: DynamicCache) -> Tensor:
    """`read_prompts`, where each prompt is read once for all rows that begin with it."""
    ids = prompts.tokens.masked_fill(~prompts.mask, -1).tolist()
    number: dict[tuple[int, ...], int] = {}
    each = [number.setdefault(tuple(row), len(number)) for row in ids]
    if len(number) == len(ids) or not is_buffered(cache):
        return read_prompts(model, prompts, cache)
    first = torch.tensor([each.index(i) for i in range(len(number))])
    own = cache_of(model.config, prompts.mask.shape[1])
    logits = read_prompts(model, prompts.rows(first), own)
    index, rows = (torch.tensor(x, device=logits.device) for x in (each, range(len(ids))))
    for part, whole in zip(own.layers, cache.layers, strict=True):
        assert isinstance(part, BufferLayer) and isinstance(whole, BufferLayer)
        if part.is_initialized:  # not of a layer that reads another's
            assert part.keys is not None and part.values is not None
            end = prompts.mask.shape[1]
            whole.put(rows, len(ids), end, part.keys[index], part.values[index])
    return logits[index]


def _view(drawn: Sequence[TokenView], parts: Sequence[Tensor], length: int) -> TokenView:
    """The parts' numbers, in the order of all rows."""
    order = torch.cat([*parts]).argsort()

    def column(name: str) -> Tensor:
        columns = [getattr(view, name) for view in drawn]
        every = torch.cat([F.pad(x, (0, length - x.shape[1])) for x in columns])
        return every[order.to(every.device)]

    return TokenView(**{name: column(name) for name in VIEW})
