"""Settings of PPO that were tried on the suite, each by a name: overrides on top of
`experiment=oracle_suite`, the same for every problem."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.oracle_suite.runs import NO_REGION


def adam(lr: str, eps: str) -> tuple[str, ...]:
    return HALF, f"ppo.optimizer.lr={lr}", f"ppo.optimizer.eps={eps}"


HALF = "ppo.iterations=120"  # of the experiment's, so that a try costs less
BEFORE = "3e-4"  # Adam's eps in conf/ppo/micro.yaml, with a rate of 5e-4
ANNEALED = ("kl/controller=cosine", "kl.coef=TEN_BETA", "kl.controller.final=BETA")

VARIANTS: dict[str, tuple[str, ...]] = {
    "lr 5e-4, eps 3e-4": adam("5e-4", BEFORE),
    "lr 1e-3, eps 3e-4": adam("1e-3", BEFORE),
    "lr 2e-3, eps 3e-4": adam("2e-3", BEFORE),
    "lr 4e-3, eps 3e-4": adam("4e-3", BEFORE),
    "lr 1e-3, eps 1e-5": adam("1e-3", "1e-5"),
    "lr 2e-3, eps 1e-5": adam("2e-3", "1e-5"),
    "lr 4e-3, eps 1e-5": adam("4e-3", "1e-5"),
    "lr 2e-3, eps 3e-4, grad clip 10": (*adam("2e-3", BEFORE), "ppo.grad_clip=10"),
    "lr 2e-3, eps 3e-4, warm-up 0.5": (*adam("2e-3", BEFORE), "ppo.lr_warmup=0.5"),
    # the coefficient falls from ten times beta, and is beta from half of the run on
    "annealed": (HALF, *ANNEALED, "kl.controller.iterations=60"),
    "minibatch 128": (HALF, "ppo.minibatch_size=128"),
    "value lr 1e-2": (HALF, "ppo.value_lr=1e-2"),
    # not run yet
    "no early stop": (HALF, *NO_REGION),
    "exact KL": (HALF, "kl=exact"),
    "minibatch 1024": (HALF, "ppo.minibatch_size=1024"),
    "rollout 4096": (HALF, "ppo.rollout_size=4096", "ppo.minibatch_size=1024"),
    "two epochs": (HALF, "ppo.inner_epochs=2"),
    "whitened": (HALF, "advantage.whiten=true"),
    "constant rate": (HALF, "ppo.lr_schedule=constant"),
    "no slow start": (HALF, "ppo.lr_warmup=0"),
}


def at(words: Sequence[str], beta: float) -> tuple[str, ...]:
    """The words at a coefficient."""
    return tuple(
        word.replace("TEN_BETA", f"{10 * beta:g}").replace("BETA", f"{beta:g}") for word in words
    )
