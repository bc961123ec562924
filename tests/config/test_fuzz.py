"""Every leaf of every option of every group, with values that nobody should give: each is refused
with a sentence, or it is harmless, which means that it is accepted and its pieces can be built."""

import random

import pytest
import torch
import yaml

from rlhf.config.build import build
from rlhf.config.composition.session import conf_dir

# What is wrong with a value, and the values.
MUTATIONS = {
    "wrong type": ["[x]", "{a: 1}", "true"],
    "negative": ["-3", "-0.5"],
    "zero": ["0", "0.0"],
    "huge": ["9999999967", "1e300", "1e30", "1000003"],
    "tiny": ["1e-300", "1e-30"],
    "not a number": ["nan", "inf"],
    "empty": ["''", "[]"],
    "null": ["null"],
    "unknown name": ["zzz", "../up", "'a b'", "os._exit"],
    "broken": ["${nowhere}", "???"],
}
VALUES = [value for values in MUTATIONS.values() for value in values]

# What an option needs beside it to be chosen.
COMPANIONS = {
    "data=jsonl": ["data.demonstrations=demos.jsonl", "data.preferences=pairs.jsonl"],
    "model=hf": ["model.path=some/model"],
    "kl/estimator=exact": ["kl/placement=both"],
    "kl/placement=both": ["kl/estimator=exact"],
    "kl/placement=loss": ["kl/estimator=k3"],
    "kl/placement=sequence_loss": ["kl/estimator=k2"],
}


def options():
    """The command lines that choose each option, with the dotted place of its values."""
    yield [], ""
    for file in sorted(conf_dir().rglob("*.yaml")):
        group, _, option = str(file.relative_to(conf_dir()).with_suffix("")).rpartition("/")
        if not group or group.startswith(("hydra", "experiment")) or group == "kl/coef":
            continue
        if group == "optimizer":
            yield [f"optimizer@ppo.optimizer={option}"], "ppo.optimizer."
        else:
            line = f"{group}={option}"
            yield [line, *COMPANIONS.get(line, [])], f"{group.replace('/', '.')}."


def leaves(plain, prefix=""):
    for key, value in plain.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def cases(planned):
    """(command line, leaf): each leaf of the config itself, and of each option that changes it."""
    seen = set()
    for lines, place in options():
        (job,) = planned(*lines).jobs
        plain = job.config.plain()
        for leaf in leaves(plain):
            node = yaml.safe_dump([leaf, plain[leaf.partition(".")[0]]])
            if leaf.startswith(place) and node not in seen:
                seen.add(node)
                yield lines, leaf


def mutate(planned, lines, leaf):
    """The configs that were accepted, and how many values were refused. A refusal names the key in
    one line."""
    given = [line for line in lines if not line.startswith(f"{leaf}=")]
    found = planned(*given, f"{leaf}={','.join(VALUES)}", multirun=True)
    assert len(found.jobs) == len(VALUES)
    refused = [job for job in found.jobs if job.config is None]
    text = "\n".join(found.faults)
    for fault in found.faults:
        assert "\n" not in fault and "Traceback" not in fault and len(fault) < 800, fault
    assert not refused or leaf.rpartition(".")[2] in text, (leaf, text)
    return [job.config for job in found.jobs if job.config is not None], len(refused)


if __name__ == "__main__":
    import sys, time
    from rlhf.config.composition.plan import plan
    from rlhf.config.composition.session import session

    with session() as h:
        p = lambda *l, multirun=False: plan(h, l, multirun=multirun)
        t = time.process_time()
        cs = list(cases(p))
        print(len(cs), time.process_time() - t)
        acc = ref = 0
        for lines, leaf in cs:
            try:
                given = [l for l in lines if not l.startswith(f"{leaf}=")]
                f = p(*given, f"{leaf}={','.join(VALUES)}", multirun=True)
                ok = [j.overrides[-1].partition("=")[2] for j in f.jobs if j.config]
                bad = [j for j in f.jobs if j.config is None]
                acc += len(ok)
                ref += len(bad)
                print(lines[:1], leaf, "OK:", ok, "n", len(f.jobs))
                if "-v" in sys.argv:
                    for x in f.faults:
                        print("      ", x[:260])
            except Exception as e:
                print(lines[:1], leaf, "EXC", type(e), str(e)[:200])
        print(acc, ref, time.process_time() - t)
