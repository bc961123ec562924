"""The screen of `rlhf --help`."""

from __future__ import annotations

from rlhf import commands

USAGE = """\
rlhf: supervised fine-tuning, a reward model, and PPO, GRPO, DPO and others under a KL penalty

  rlhf kl.coef=0.1 seed=1                        one run; without settings the defaults
  rlhf kl/controller=adaptive ppo.iterations=100 groups are chosen with /, values set with .
  rlhf -m kl.coef=0,0.02,0.1 seed=0,1            a sweep: every combination, one process a job
  rlhf experiment=quickstart                     an experiment file, often a sweep
  rlhf SUBCOMMAND ...
"""
FOOT = """
rlhf config            all groups and settings; rlhf config kl, rlhf config ppo.iterations
rlhf SUBCOMMAND --help what it takes, with examples; rlhf --help kl=grpo: the settings of a choice
rlhf --version         of rlhf and of what it stands on
Results: outputs/ and sweeps/. The same command again goes on where it was cut."""
MARGIN = 15  # columns of the headings


def overview() -> str:
    """What there is: every subcommand with one line, under the headings of their folders."""
    lines = [USAGE]
    for heading, summaries in commands.headed().items():
        for number, (name, summary) in enumerate(summaries.items()):
            head = heading if not number else ""
            lines.append(f"{head:<{MARGIN}}{name:<12}{summary}")
    return "\n".join([*lines, FOOT])
