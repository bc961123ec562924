"""The screen of `rlhf --help`, and what a word may mean that is no subcommand."""

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
# what other tools call a subcommand
ELSEWHERE = {
    **{"train": "run", "fit": "run", "sweep": "run -m", "multirun": "run -m"},
    **{"chat": "sample", "generate": "sample", "info": "show", "status": "compare --status"},
    **{"ls": "list", "runs": "list", "find": "list", "rm": "clean", "report": "compare"},
    **{"mlflow": "ui", "save": "export", "version": "--version"},
}


def overview() -> str:
    """What there is: every subcommand with one line, under the headings of their folders."""
    lines = [USAGE]
    for heading, summaries in commands.headed().items():
        for number, (name, summary) in enumerate(summaries.items()):
            head = heading if not number else ""
            lines.append(f"{head:<{MARGIN}}{name:<12}{summary}")
    return "\n".join([*lines, FOOT])


def no_subcommand(name: str) -> str:
    """Why `name` is refused where a subcommand is expected, and what is probably meant: a
    subcommand, an experiment, a group or a key."""
    from rlhf.config.hints.nearest import did_you_mean

    names = commands.names()
    meant = did_you_mean(name, names) or _other_meaning(name)
    return f"{name} is no subcommand{meant} ({', '.join(names)})"


def _other_meaning(name: str) -> str:
    if name in ELSEWHERE:
        return f"; did you mean rlhf {ELSEWHERE[name]}?"
    from rlhf.config.plugins.folders import conf_folders

    folders = conf_folders().paths
    if any((folder / "experiment" / f"{name}.yaml").is_file() for folder in folders):
        return f"; did you mean rlhf experiment={name}?"
    group = name.replace(".", "/").partition("/")[0]
    if group and any((folder / group).is_dir() for folder in folders):
        return f"; rlhf config {name} says what can be set there"
    return ""
