"""Settings of PPO that were tried on the suite, each by a name: overrides on top of
`experiment=oracle_suite`, the same for every problem."""

from __future__ import annotations

from benchmarks.oracle_suite.runs import FIXED, NO_REGION


def adam(lr: str, eps: str) -> tuple[str, ...]:
    return *HALF, f"ppo.optimizer.lr={lr}", f"ppo.optimizer.eps={eps}"


HALF = (*FIXED, "ppo.iterations=120")  # a quarter of the experiment's, so that a try costs less
LARGE = ("ppo.rollout_size=4096", "ppo.minibatch_size=1024")
BEFORE = "3e-4"  # Adam's eps in conf/ppo/micro.yaml, with a rate of 5e-4

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
    "annealed": ("ppo.iterations=120", "kl.coef=TEN_BETA", "kl.controller.iterations=60"),
    "minibatch 128": (*HALF, "ppo.minibatch_size=128"),
    "value lr 1e-2": (*HALF, "ppo.value_lr=1e-2"),
    "240 iterations": (*FIXED, "ppo.iterations=240"),
    "240 iterations, minibatch 128": (*FIXED, "ppo.iterations=240", "ppo.minibatch_size=128"),
    "240 iterations, no early stop": (*FIXED, "ppo.iterations=240", *NO_REGION),
    "240 iterations of 2048": (*FIXED, "ppo.iterations=240", "ppo.rollout_size=2048"),
    "240 iterations of 4096": (*FIXED, "ppo.iterations=240", *LARGE),
    "240 iterations, 60 from ten beta": (
        *("ppo.iterations=240", "kl.coef=TEN_BETA", "kl.controller.iterations=60"),
    ),
    "240 iterations, 120 from 2": ("ppo.iterations=240", "kl.controller.iterations=120"),
    "240 iterations of 2048, 120 from 2": (
        *("ppo.iterations=240", "ppo.rollout_size=2048", "kl.controller.iterations=120"),
    ),
    "480 iterations": FIXED,
    # not run yet
    "exact KL": (*HALF, "kl=exact"),
    "minibatch 1024": (*HALF, "ppo.minibatch_size=1024"),
    "rollout 4096": (*HALF, *LARGE),
    "two epochs": (*HALF, "ppo.inner_epochs=2"),
    "whitened": (*HALF, "advantage.whiten=true"),
    "constant rate": (*HALF, "ppo.lr_schedule=constant"),
    "no slow start": (*HALF, "ppo.lr_warmup=0"),
}
