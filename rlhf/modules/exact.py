"""A policy, and an online algorithm, without sampling: every response to its prompts is listed,
scored and weighted by its probability."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rlhf.functional.masking import masked_mean, masked_sum
from rlhf.models.checks import vocabulary_size
from rlhf.models.policy import PolicyReader
from rlhf.modules.advantage import to_experience
from rlhf.modules.online import OnlineModule
from rlhf.modules.policy import PolicyModule
from rlhf.oracle import check_normalised, enumerate_rollout, objective
from rlhf.rollout.engines.base import Stops
from rlhf.rollout.finite import judge_sources, require_finite
from rlhf.rollout.score import judged
from rlhf.types import Minibatch, PromptBatch


def the_only_stop(stops: Stops) -> int:
    """The id that ends a response. Raises ValueError where others, or strings, end one too: the
    list of all responses is by one id."""
    first, *others = stops.ids
    if others:
        raise ValueError(f"responses end with one of {1 + len(others)} ids: no list holds them")
    if stops.texts:
        raise ValueError("responses end with strings (generation.stop): no list holds them")
    return first


class ExactView:
    """X prompts, N responses each (`rollout`), at the module's sampling temperature. The policy is
    the one of the moment at each call.

    Raises ValueError where there are too many responses to list.
    """

    def __init__(self, module: PolicyModule, prompts: PromptBatch) -> None:
        self.module, self.prompts = module, prompts
        stop = the_only_stop(module.parts.judges.stops)
        self.rollout = enumerate_rollout(
            prompts,
            vocabulary_size(module.parts.judges.tokenizer),
            stop,
            module.settings.sampling.max_new_tokens,
        ).to(module.device)

    def by_prompt(self, x: Tensor) -> Tensor:
        """[X * N] -> [X, N]"""
        return x.view(len(self.prompts), -1)

    def tables(self, reference: PolicyReader | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """log pi, log ref, reward (as training sees it, before the KL), each [X, N] float64. ref is
        the policy that the run began with (`parts.start`), unless another is given."""
        module, mask = self.module, self.rollout.mask
        view = module.reader.view(reference or module.parts.start, self.rollout)
        read, raw_score = judged(module.parts.scorer, module.parts.judges.read(self.rollout))
        score = module.parts.scorer.clip(raw_score)
        scores = {**judge_sources(read.scores), "score of the scorer": score}
        require_finite(scores, mask, self.rollout.prompt.texts, "every response, listed")
        logp, ref_logp = (
            self.by_prompt(masked_sum(x.double(), mask, dim=1)) for x in (view.logp, view.ref_logp)
        )
        check_normalised(logp)
        check_normalised(ref_logp)
        return logp, ref_logp, self.by_prompt(score.double())

    # --- gradients

    def objective_gradient(self) -> Tensor:
        """The gradient of the mean over prompts of J = E[r] - coef KL to the reference in force,
        all of the policy's parameters in one row [P]."""
        module, rows = self.module, self.rollout
        _, ref_logp, reward = self.tables(module.parts.reference)
        per_token = module.reader.read(rows).logp
        logp = self.by_prompt(masked_sum(per_token.double(), rows.mask, dim=1))
        return self._gradient(objective(reward, logp, ref_logp, module.kl.coef).mean())

    def loss_gradient(self) -> Tensor:
        """The expectation of the gradient of the module's loss at the first minibatch of a rollout,
        with respect to the policy [P].

        Every listed response weighs its probability. With aggregation=token_mean it is the limit of
        a large minibatch. Advantages that compare the responses to a prompt (`needs_groups`) are
        those of two responses to each, all pairs being listed. Raises ValueError where a response's
        loss depends on all others of the rollout: advantages are whitened, say.
        """
        module, mask = self.module, self.rollout.mask
        assert isinstance(module, OnlineModule)
        scored = module.score(self.rollout)
        experience, rewards = to_experience(scored, module.kl, module.advantage)
        if getattr(module.advantage, "needs_groups", False):
            experience = replace(experience, advantages=self._of_pairs(rewards))
        elif getattr(module.advantage, "mixes_responses", True):
            raise ValueError(
                "the expected gradient needs advantages of each response by itself, or of those to"
                " one prompt: advantage.whiten=false and advantage.whiten_rewards=false of"
                " advantage=gae, advantage.baseline=none of advantage=reinforce"
            )
        logp = self.by_prompt(masked_sum(scored.logp.double(), mask, dim=1))
        weight = (logp.exp() / len(self.prompts)).flatten()
        mode = module.settings.aggregation
        divisor = {
            "token_mean": float((weight * mask.sum(1)).sum()),
            "fixed_length": float(module.settings.sampling.max_new_tokens),
        }.get(mode, 1.0)

        def reduce(x: Tensor, mask: Tensor) -> Tensor:
            of_response = masked_mean if mode == "sequence_mean" else masked_sum
            return (weight * of_response(x, mask, dim=1).double()).sum() / divisor

        batch = Minibatch(
            experience=experience,
            step_tokens=int(mask.sum()),
            step_sequences=len(experience),
            splits=1,
        )
        return self._gradient(module.loss(batch, reduce).total)

    def _of_pairs(self, rewards: Tensor) -> Tensor:
        """E[advantages of y | y], the other response to its prompt being drawn from the policy:
        rewards [X * N, T] -> [X * N, T]. The loss is linear in the advantages where rho = 1, so
        that this is all that it sees of the other one."""
        module, mask = self.module, self.rollout.mask
        assert isinstance(module, OnlineModule)
        rows = self.by_prompt(torch.arange(len(rewards), device=rewards.device))
        groups = torch.arange(len(rewards)).repeat(2)
        expected = torch.zeros_like(rewards)
        for other, logp in zip(rows.T, self.tables()[0].T, strict=True):
            beside, weight = (
                x.repeat_interleave(rows.shape[1]) for x in (other, logp.exp().to(rewards.dtype))
            )
            pairs = torch.cat([rewards, rewards[beside]]), torch.cat([mask, mask[beside]])
            advantages = module.advantage(pairs[0], None, pairs[1], groups).advantages
            expected += weight.unsqueeze(-1) * advantages[: len(rewards)]
        return expected

    def _gradient(self, value: Tensor) -> Tensor:
        parameters = list(self.module.policy.parameters())
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        return torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).flatten()
                for p, g in zip(parameters, gradients, strict=True)
            ]
        )


class Tree:
    """The policy's log-probabilities of a view's responses by a forward pass over their distinct
    beginnings alone: V^(T-1) rows a prompt in place of V^T, with their gradient."""

    def __init__(self, view: ExactView) -> None:
        rollout, prompts = view.rollout, len(view.prompts)
        self.reader, self.prompts = view.module.reader, prompts
        each = len(rollout.tokens) // prompts
        tokens, mask = rollout.tokens[:each], rollout.mask[:each]
        length, stop = tokens.shape[1], the_only_stop(view.module.parts.judges.stops)
        # of full length, with one and the same end
        whole = mask[:, -1] & (tokens[:, -1] == int(tokens[-1, -1]))
        place = torch.where(tokens > stop, tokens - 1, tokens)  # among the tokens that end nothing
        scale = int(tokens.max()) ** torch.arange(length - 2, -1, -1, device=tokens.device)
        steps = torch.where(mask[:, 1:], place[:, :-1] * scale, 0).cumsum(dim=1)
        self.row = torch.cat([steps.new_zeros(each, 1), steps], dim=1)  # [N, T]: y_<t's first row
        self.tokens, self.mask = tokens, mask
        everywhere = whole.repeat(prompts).nonzero().flatten()
        self.rollout = rollout.rows(everywhere)

    def logp(self) -> Tensor:
        """[X, N] float32, as `ExactView.tables` has it of the policy."""
        length = self.tokens.shape[1]
        logits = self.reader.predictions(self.rollout).float() / self.reader.temperature
        every = logits.log_softmax(-1).view(self.prompts, -1, length, logits.shape[-1])
        at = torch.arange(length, device=self.tokens.device)
        chosen = every[:, self.row, at, self.tokens]  # [X, N, T]
        return (chosen * self.mask).sum(-1)


def ascend(view: ExactView, *, steps: int, lr: float) -> Tensor:
    """Gradient ascent of the module's policy on the mean over prompts of J = E[r] - coef KL to
    `parts.start`, with every response listed: no sampling error. Returns J before each step
    [steps].

    Adam (0.9, 0.999, 1e-8) at a rate that falls to 0 by half a cosine; gradients are clipped at a
    norm of 1.
    """
    tree, module = Tree(view), view.module
    _, ref_logp, reward = view.tables()
    own = [p for p in module.policy.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(own, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    reached = []
    for _ in range(steps):
        value = objective(reward, tree.logp().double(), ref_logp, module.kl.coef).mean()
        optimizer.zero_grad()
        (-value).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(own, 1.0)
        optimizer.step()
        schedule.step()
        reached.append(float(value.detach()))
    return torch.tensor(reached, dtype=torch.float64)


def angle(a: Tensor, b: Tensor) -> float:
    """Degrees between two vectors; NaN where one is 0."""
    cosine = torch.dot(a.double(), b.double()) / (a.double().norm() * b.double().norm())
    return float(torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))))
