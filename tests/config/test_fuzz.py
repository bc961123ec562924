"""Every leaf of every option of every group, with values that nobody should give: each is refused
with a sentence, or it is harmless, which means that it is accepted and its pieces can be built."""

import math
import random

import pytest
import torch

from rlhf.config.build import build
from rlhf.config.plugins.folders import conf_dir
from rlhf.config.properties import controller_arguments
from rlhf.rundir.errors import NonFinite
from tests.config.test_every_yaml import COMPANIONS

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


def one_of_each(number):
    """A value of each kind: another one for each `number`, all of them in turn."""
    return [values[number % len(values)] for values in MUTATIONS.values()]


# of groups whose values lie elsewhere
PLACES = {"model/adapter": "adapter", "model/sharing": "adapter"}


def options():
    """The command lines that choose each option, with the dotted place of its values."""
    yield [], ""
    for file in sorted(conf_dir().rglob("*.yaml")):
        group, _, option = str(file.relative_to(conf_dir()).with_suffix("")).rpartition("/")
        if not group or group.startswith(("hydra", "experiment")) or group == "kl/coef":
            continue
        if group == "optimizer":
            more = COMPANIONS.get(f"{group}/{option}", [])
            yield [f"optimizer@ppo.optimizer={option}", *more], "ppo.optimizer."
        else:
            line, place = f"{group}={option}", PLACES.get(group, group.replace("/", "."))
            yield [line, *COMPANIONS.get(f"{group}/{option}", [])], f"{place}."


def leaves(plain, prefix=""):
    for key, value in plain.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def taken(plain, leaf):
    """(the class that takes the leaf, None for the config's own, and its value)"""
    node, piece = plain, None
    for key in leaf.split("."):
        piece = node.get("_target_", piece)
        node = node[key]
    return piece, node


def cases(planned):
    """(command line, leaf): each leaf of the config itself, and of each option that gives it
    another value or to another class."""
    seen = set()
    for lines, place in options():
        (job,) = planned(*lines).jobs
        plain = job.config.plain()
        for leaf in leaves(plain):
            case = repr((leaf, taken(plain, leaf)))
            if leaf.startswith(place) and case not in seen:
                seen.add(case)
                yield lines, leaf


def judged(planned, lines, leaf, values):
    """(accepted configs, number of refused values). A refusal is one line that names the key."""
    given = [line for line in lines if not line.startswith(f"{leaf}=")]
    found = planned(*given, f"{leaf}={','.join(values)}", multirun=True)
    assert len(found.jobs) == len(values)
    accepted = [job.config for job in found.jobs if job.config is not None]
    refused = len(values) - len(accepted)
    assert bool(refused) == bool(found.faults)
    for fault in found.faults:
        assert "\n" not in fault and "Traceback" not in fault and len(fault) < 800, fault
    assert not refused or leaf.rpartition(".")[2] in "\n".join(found.faults), (leaf, found.faults)
    return accepted, refused


def check_builds(config, leaf):
    """The pieces of the leaf's section can be made, and a controller can take steps."""
    section = leaf.partition(".")[0]
    for stage in (config.sft, config.reward_model, config.ppo):
        # of a package that is not installed with this one, and for GPUs
        if stage.optimizer.name != "adamw_8bit":
            build(stage.optimizer, params=[torch.nn.Parameter(torch.zeros(1))]).step()
    if section in ("data", "model", "algorithm", "advantage", "scorer", "trust_region"):
        piece = getattr(config, section)
        # a Lightning module takes a whole run; a classifier reads its model's files
        if section != "algorithm" and piece.name != "classifier":
            build(piece)
    if section in ("kl", "ppo"):
        kl = config.kl
        controller = build(kl.controller, **controller_arguments(kl, config.ppo))
        for nats in (0.0, 1e-6, 5.0, 1e6):
            if getattr(controller, "done", False):  # of a path no point is left
                break
            controller.update(
                nats, config.ppo.rollout_size, unit=getattr(controller, "unit", "sequence")
            )
            assert math.isfinite(controller.coef), (leaf, controller.coef)
        for piece in (kl.estimator, kl.placement, kl.reference):
            build(piece)


@pytest.mark.parametrize("seed", range(2))
def test_a_sample_of_the_leaves(planned, seed):
    (job,) = planned().jobs
    every = [*leaves(job.config.plain())]
    for leaf in random.Random(seed).sample(every, 8):
        accepted, _ = judged(planned, [], leaf, VALUES)
        for config in accepted:
            check_builds(config, leaf)


@pytest.mark.slow
def test_every_leaf_of_every_option(planned, record_property, monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests")
    accepted = refused = 0
    places = [*cases(planned)]
    for place, (lines, leaf) in enumerate(places):
        configs, number = judged(planned, lines, leaf, one_of_each(place))
        for config in configs:
            check_builds(config, leaf)
        accepted, refused = accepted + len(configs), refused + number
    said = f"{len(places)} leaves, {accepted + refused} values: {refused} refused, {accepted} built"
    record_property("fuzz", said)
    print(said)
    # a leaf that takes anything, or an option that drops out of sight, would show here
    assert len(places) > 250 and refused > 10 * accepted


# accepted, and far from all that is sane: each trains, or fails by the name of the setting
EXTREMES = [
    "generation.temperature=0.001",
    "generation.temperature=1000",
    "ppo.policy_clip=1e30",
    "ppo.optimizer.lr=100",
    "ppo.value_coef=1000000",
    "kl.coef=1000000",
    "ppo.optimizer.eps=1e-30",
    "ppo.grad_clip=1e-30",
    "sft.batch_size=1000003",
    "ppo.rollout_size=1",
    "data.heldout_fraction=0.999999",
    "data.label_temperature=0.001",
    "evaluation.samples=1000000",
    "scorer.reward_clip=1e-30",
    "seed=9223372036854775807",
    "kl/controller=linear kl.controller.final=1e30",
    "trust_region=penalty trust_region.coef=1e30",
    "kl/controller=pid kl.controller.kp=1e30",
]


@pytest.mark.slow
@pytest.mark.parametrize("line", EXTREMES)
def test_an_extreme_trains_or_fails_by_its_name(run_in, tmp_path, line):
    words = line.split()
    if "rollout_size" in line:
        words.append("ppo.minibatch_size=1")
    try:
        summary = run_in(tmp_path / "run", *words)
    except NonFinite as error:
        assert words[-1].partition("=")[0] in str(error)
    else:
        assert summary["status"] == "finished"
