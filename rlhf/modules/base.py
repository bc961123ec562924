"""The base of the Lightning modules: their own count of iterations, a learning rate that is a
function of the optimizer step, and metrics that are pooled over the steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from rlhf.functional.pooling import Mean
from rlhf.functional.schedules import lr_factor
from rlhf.models.networks import BACKBONES, backbone_digests, check_backbones
from rlhf.models.sharding.cut import READ_IN, Cut, cut_all, join_all
from rlhf.models.sharding.whole import average_gradients, whole
from rlhf.models.training.fused import keep_fused
from rlhf.models.training.recompute import recomputed
from rlhf.modules.finite import check_update, check_updated
from rlhf.modules.precision.masters import MasterWeights
from rlhf.ranks.group import ALONE
from rlhf.ranks.numbers import largest_of_all, means_of_all

Metrics = dict[str, float]


class StageModule(pl.LightningModule):
    """One Lightning epoch is one iteration, counted here: `current_epoch` is one behind when a
    resumed loop builds its first iterator.

    `record` holds the metrics of the last finished iteration. A subclass gives `evaluate` and
    `finish_iteration`, and may add state of its own to the checkpoint with `extra_state` and
    `load_extra_state`.
    """

    stage: str
    title = ""  # what people call what trains here; empty: the stage's name
    unit = "iteration"
    leaves_some_untrained = False  # True: a step may leave parameters without a gradient
    may_end_early = False  # True: `iterations` is the most that there can be

    def __init__(self, *, iterations: int, lr_schedule: str, lr_warmup: float) -> None:
        super().__init__()
        self.ranks = ALONE  # those that train together; `fit` says it
        self.iterations, self.lr_schedule, self.lr_warmup = iterations, lr_schedule, lr_warmup
        self.iteration = 0
        self.masters: MasterWeights | None = None  # where trained weights compute in bfloat16
        self.record: Metrics = {}
        self.samples: list[dict[str, Any]] = []
        self.by_prompt: list[dict[str, Any]] = []  # one row where there was an evaluation
        self._means: dict[str, Mean] = {}
        self._largest: dict[str, torch.Tensor] = {}
        self.cuts: dict[torch.nn.Module, Cut] = {}  # by network
        self.recomputes = False  # True: with gradient checkpointing, which `fit` says
        self._losses: list[torch.Tensor] = []  # of the micro-batches of the step under way

    def where(self, ahead: int = 0) -> str:
        """`sft, epoch 2`: the iteration that ended last, or one ahead of it; for messages."""
        return f"{self.title or self.stage}, {self.unit} {self.iteration + ahead}"

    def evaluate(self) -> Metrics:
        """Metrics on what is held out: the whole record of iteration 0."""
        return {}

    def evaluates_at(self, iteration: int) -> bool:
        """Whether the record of this iteration holds an evaluation."""
        return True

    def needs_checkpoint(self) -> bool:
        """Whether the iteration that ended has a checkpoint, however far they are apart."""
        return self.iteration == self.iterations

    def end_here(self) -> None:
        """Says that the iteration that ended is the last one. By Lightning's limit of epochs:
        `should_stop` would be forgotten when a fit of what is at its end begins."""
        self.iterations = self.iteration
        if self._trainer is not None:
            self.trainer.fit_loop.max_epochs = self.iteration

    def finish_iteration(self) -> Metrics:
        raise NotImplementedError

    def extra_state(self) -> dict[str, Any]:
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        pass

    def log_step(self, largest: Mapping[str, torch.Tensor] | None = None, **means: Mean) -> None:
        """Numbers of one micro-batch, pooled until the iteration ends: they are the same for every
        split of its steps. Of those in `largest` the largest is kept."""
        for name, mean in means.items():
            self._means[name] = self._means[name] + mean if name in self._means else mean
        for name, value in (largest or {}).items():
            new, before = value.detach(), self._largest.get(name)
            self._largest[name] = new if before is None else torch.maximum(before, new)

    def step_means(self) -> Metrics:
        """The pooled numbers, over all ranks, and begins anew."""
        means, largest = self._means, self._largest
        self._means, self._largest = {}, {}
        means = means_of_all(self.ranks, means)
        tops = largest_of_all(self.ranks, {n: float(value) for n, value in largest.items()})
        return {name: float(mean) for name, mean in means.items()} | tops

    # --- models that lie in parts on several ranks

    def models(self) -> Iterable[torch.nn.Module]:
        """All that forward passes read, those among them that nothing trains."""
        return self.children()

    def configure_model(self) -> None:
        """Cuts the models over the ranks, where Lightning's strategy has a mesh of them."""
        if self._device_mesh is not None and not self.cuts:
            mesh, precision = self._device_mesh["data_parallel"], self.trainer.precision
            self.cuts = cut_all(self.models(), mesh, READ_IN.get(str(precision)))

    def join(self) -> None:
        """What was trained is whole again, on rank 0."""
        join_all(self.children(), self.cuts)

    def named_weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """The weights that the optimizer steps, by name: in float32 in every precision."""
        return self.named_parameters() if self.masters is None else self.masters.named(self)

    @contextmanager
    def in_float32(self, *models: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, ...]]:
        """The models with their weights in float32, where they may be changed."""
        if self.masters is None:
            yield models
            return
        yield tuple(map(self.masters.whole, models))
        self.masters.round()

    # --- optimizer steps

    def steps_an_iteration(self) -> int:
        """Optimizer steps, where nothing ends the iteration early."""
        batches, together = self.trainer.num_training_batches, self.trainer.accumulate_grad_batches
        return -(-int(batches) // together)

    def forward_pass(self) -> AbstractContextManager[None]:
        """Around a forward pass that has a backward pass: where asked for, the layers of all that
        is trained here keep their inputs alone."""
        return recomputed(*self.children()) if self.recomputes else nullcontext()

    def accumulate(self, splits: int) -> None:
        """Says that each optimizer step of this iteration is of so many micro-batches; the last
        step may have fewer."""
        if self._trainer is not None:
            self.trainer.accumulate_grad_batches = splits

    def on_train_start(self) -> None:
        keep_fused(self.optimizers(use_pl_optimizer=False))  # type: ignore[arg-type]

    def schedule_position(self) -> tuple[int, int]:
        """Of the learning rate's schedule the iterations that have passed, and all."""
        return self.iteration, self.iterations

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """All micro-batches of a step have the step's learning rate."""
        each, (passed, every) = self.steps_an_iteration(), self.schedule_position()
        step = passed * each + batch_idx // self.trainer.accumulate_grad_batches
        factor = lr_factor(self.lr_schedule, step, every * each, self.lr_warmup)
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = group["initial_lr"] * factor

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips by the norm over all parameters together, and logs it as it was before; beside it
        the learning rate of the first group, which is the policy's. Called once a step."""
        parameters = [
            p for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        if self.cuts:
            average_gradients(parameters)
        norm = whole(get_total_norm([p.grad for p in parameters]))
        losses, self._losses = self._losses, []
        if self.ranks.size > 1:  # which raise together, or not
            losses = [*torch.tensor(self.ranks.largest([float(loss.abs()) for loss in losses]))]
        step = f"{self.where(1)}, optimizer step {self.trainer.global_step + 1}"
        check_update(losses, norm, self.named_weights(), step)
        if gradient_clip_val:
            clip_grads_with_norm_(parameters, gradient_clip_val, norm)
        self.log_step(
            largest={"grad_norm_max": norm},
            grad_norm=Mean.over(norm, 1),
            lr=Mean.over(float(optimizer.param_groups[0]["lr"]), 1),
        )

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Lets the gradients go at once: Lightning would keep them until the next backward pass,
        beside what drawing, reading, forward passes and checkpoints need."""
        super().optimizer_step(*arguments, **named)
        self.optimizers(use_pl_optimizer=False).zero_grad()  # type: ignore[union-attr]

    def optimizer_zero_grad(self, *arguments: Any) -> None:
        """Nothing is left to be done before a backward pass."""

    def on_before_backward(self, loss: torch.Tensor) -> None:
        self._losses.append(loss.detach())

    def on_train_epoch_end(self) -> None:
        check_updated(self.named_weights(), self.where(1))
        self.iteration += 1
        self.record = self.finish_iteration()
        self.ranks.check_same({"kl/coef": self.record.get("kl/coef")}, self.where())

    @cached_property
    def backbones(self) -> dict[str, str]:
        """The digests of the networks that roles stand beside: read once, as nothing changes
        them."""
        return backbone_digests(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["rlhf"] = {"iteration": self.iteration, **self.extra_state()}
        if self.backbones:
            checkpoint["rlhf"] |= {BACKBONES: self.backbones}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = dict(checkpoint["rlhf"])
        check_backbones(self.backbones, state.pop(BACKBONES, {}))
        self.iteration = state.pop("iteration")
        self.load_extra_state(state)

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        return batch.to(device)


def with_initial_lr(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Notes each group's learning rate as the one that the schedule scales."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return optimizer
