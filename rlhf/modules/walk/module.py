"""A module that trains a policy along a path, where its KL has one: each point of it ends with an
evaluation and a checkpoint, and the last one ends the training."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf.kl.grid import most_iterations
from rlhf.kl.path import Path
from rlhf.models.sharding.whole import part_of
from rlhf.modules.base import Metrics
from rlhf.modules.parts import OnlineParts, OnlineSettings
from rlhf.modules.policy import PolicyModule


class WalkingModule(PolicyModule):
    """`path`: the KL's controller, where it is one. `iterations` is then the most that there can
    be, until the last point has ended."""

    path: Path | None

    def __init__(self, parts: OnlineParts, settings: OnlineSettings, path: Path | None) -> None:
        super().__init__(parts, settings)
        self.path, self.value_model = path, parts.value_model
        # what the value model trains, as it is at the start
        self.first_values: dict[str, Tensor] = {}
        if path is None:
            return
        self.may_end_early = True
        warmup = settings.critic_warmup
        self.iterations = most_iterations(len(path.grid), path.iterations, warmup, path.shrink)
        if self.value_model is not None and not path.keep_values:
            trained = ((n, p) for n, p in self.value_model.named_parameters() if p.requires_grad)
            self.first_values = {name: weight.detach().clone() for name, weight in trained}

    # --- a point's beginning

    def begin_rollout(self) -> None:
        """Has the path's coefficient of now, and at a point's beginning makes anew what does not
        go on. Not with the end of the point before: its checkpoint has what it ended with."""
        if self.path is None or not self.path.begin():
            return
        if self._trainer is not None and not self.path.keep_optimizer:
            for optimizer in self.trainer.optimizers:
                optimizer.state.clear()
        if self.value_model is not None and not self.path.keep_values:
            self._values_anew(self.value_model)

    def _values_anew(self, values: torch.nn.Module) -> None:
        with self.in_float32(values) as (model,), torch.no_grad():
            for name, weight in model.named_parameters():
                if name in self.first_values:
                    weight.copy_(part_of(self.first_values[name], weight))
        if self._trainer is None:
            return
        masters = {} if self.masters is None else self.masters.masters
        for optimizer in self.trainer.optimizers:
            for parameter in values.parameters():
                optimizer.state.pop(masters.get(parameter, parameter), None)

    # --- a point's end

    def after_update(self) -> Metrics:
        """The metrics of where the path is. At its end it says that the training is at its own."""
        if self.path is None:
            return {}
        if self.path.done:
            self.end_here()
        return self.path.record

    def evaluates_at(self, iteration: int) -> bool:
        return self.ends_point() or super().evaluates_at(iteration)

    def needs_checkpoint(self) -> bool:
        return self.ends_point() or super().needs_checkpoint()

    def ends_point(self) -> bool:
        """Whether the iteration that ended was the last one of a point."""
        return self.path is not None and self.path.ended is not None

    # --- the learning rate

    def schedule_position(self) -> tuple[int, int]:
        """Of the schedule of the path's first point, the warm-up of the values in it; and of each
        point's own, where it begins anew with each."""
        path = self.path
        if path is None:
            return super().schedule_position()
        if path.passed and path.restart_lr:
            return path.held, path.most
        return self.iteration, most_iterations(1, path.iterations, self.settings.critic_warmup)
