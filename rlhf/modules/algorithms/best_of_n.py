"""Best of n distilled into a policy: of the responses to each prompt the best one is kept, and
learned as a demonstration. In one round, which draws from the policy that the run began with
(AlpacaFarm, arXiv 2305.14387), or in rounds, each of which draws from what the one before has
learned (expert iteration, arXiv 1705.08439)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rlhf.functional.masking import Reduce
from rlhf.functional.standard_errors import groups_of
from rlhf.metrics import BEHIND
from rlhf.models.sharding.whole import part_of, whole
from rlhf.modules.base import Metrics
from rlhf.modules.old_policy import Drift
from rlhf.modules.online import OnlineModule
from rlhf.modules.parts import Losses
from rlhf.types import Experience, Minibatch


def winners(score: Tensor, groups: Tensor, n: int) -> Tensor:
    """[W] the rows of the best responses: of each n to one prompt, in the order in which they were
    drawn, the one with the highest score, of equal ones the first. score [B], groups [B] (equal
    prompts, equal number).

    A prompt that was drawn twice has two winners. Where responses were left out, the last ones to
    their prompt compete among fewer.
    """
    scores, count = score.tolist(), dict[int, int]()
    best: dict[tuple[int, int], int] = {}
    for row, group in enumerate(groups.tolist()):
        place = count.get(group, 0)
        count[group] = place + 1
        rivals = (group, place // n)
        if rivals not in best or scores[row] > scores[best[rivals]]:
            best[rivals] = row
    return torch.tensor(sorted(best.values()), dtype=torch.long)


class BestOfN(OnlineModule):
    """The loss is -log pi of the winners alone, whose rows alone are read in the updates; its
    minimum is the best-of-n policy (`rlhf.oracle.best_of_n`) of the policy that draws.

    All iterations draw from the policy that the run began with. The metrics of a rollout, its KL to
    the reference too, are those of the policy that drew it and of all that was drawn; `rollout/
    behind` says how many iterations the trained policy is ahead of it.
    """

    needs_values = False
    round_iterations: int | None = None  # of which all draw from one policy; None: all of the run

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.drawer = trained_weights(self.policy)  # the policy that this round draws from

    @property
    def behind(self) -> int:
        """Iterations of the round that have ended: since then the trained policy is another one."""
        each = self.round_iterations
        return self.iteration if each is None else self.iteration % each

    @contextmanager
    def drawing(self) -> Iterator[None]:
        if not self.behind:
            yield
            return
        # beside the weights, where the gradients are at other times
        now = {name: weight.detach().clone() for name, weight in trained(self.policy)}
        put(self.drawer, self.policy)
        try:
            yield
        finally:
            put(now, self.policy)

    def minibatches(self, experience: Experience) -> Iterator[Minibatch]:
        groups = groups_of(experience.rollout.prompt.texts)
        kept = winners(experience.score, groups, self.settings.responses_per_prompt)
        best = experience.rows(kept)
        self.collected |= {BEHIND: float(self.behind), "ppo/kept_score": float(best.score.mean())}
        if self.behind:  # what the first step reads are another policy's log-probabilities
            self.drift = Drift(self.ranks, sampled=False)
        yield from super().minibatches(best)

    def loss(self, batch: Minibatch, reduce: Reduce) -> Losses:
        """-log pi of the tokens, less the entropy bonus."""
        rollout = batch.experience.rollout
        read = self.read(rollout)
        return self.with_limits(reduce(-read.logp, rollout.mask), read, batch, reduce)

    def steps_an_iteration(self) -> int:
        size = self.settings.minibatch_size * self.settings.responses_per_prompt
        return self.settings.inner_epochs * -(-self.drawn // size)

    def finish_iteration(self) -> Metrics:
        record = super().finish_iteration()
        record.pop("trust_region/kl")  # winners are no sample of the policy that drew them
        return record


class ExpertIteration(BestOfN):
    """The same in rounds of `round_iterations`: each draws from the policy as it was when the round
    began."""

    def __init__(self, *, round_iterations: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        if round_iterations < 1:
            raise ValueError(f"round_iterations must be at least 1, got {round_iterations}")
        self.round_iterations = round_iterations

    @contextmanager
    def drawing(self) -> Iterator[None]:
        if not self.behind and self.round_iterations != 1:
            self.drawer = trained_weights(self.policy)
        with super().drawing():
            yield

    def extra_state(self) -> dict[str, Any]:
        return {**super().extra_state(), "drawer": self.drawer if self.behind else None}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        super().load_extra_state(state)
        self.drawer = state["drawer"] or self.drawer


def trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of what of a model is trained, in main memory. Every rank calls it."""
    return {name: whole(weight.detach()).to("cpu", copy=True) for name, weight in trained(model)}


@torch.no_grad()
def put(weights: Mapping[str, Tensor], model: nn.Module) -> None:
    """Gives the model these weights, in place."""
    for name, weight in trained(model):
        weight.copy_(part_of(weights[name], weight))
