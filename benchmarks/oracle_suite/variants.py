"""Settings of PPO that were tried on the suite, each by a name: overrides on top of
`experiment=oracle_suite`, the same for every problem."""

from __future__ import annotations

from benchmarks.oracle_suite.runs import NO_REGION

VARIANTS: dict[str, tuple[str, ...]] = {
    "lr 1e-3": ("ppo.optimizer.lr=1e-3",),
    "lr 2e-3": ("ppo.optimizer.lr=2e-3",),
    "eps 1e-5": ("ppo.optimizer.eps=1e-5",),
    "no early stop": NO_REGION,
    "exact KL": ("kl=exact",),
    "minibatch 1024": ("ppo.minibatch_size=1024",),
    "rollout 4096": ("ppo.rollout_size=4096", "ppo.minibatch_size=1024"),
    "two epochs": ("ppo.inner_epochs=2",),
    "whitened": ("advantage.whiten=true",),
    "constant rate": ("ppo.lr_schedule=constant",),
    "no slow start": ("ppo.lr_warmup=0",),
    "value lr 1e-2": ("ppo.value_lr=1e-2",),
}
