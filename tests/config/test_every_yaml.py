"""Every file under conf/ is composed, checked and built. The folder is walked, so a new file is
in the test by being there."""

from importlib.util import find_spec

import pytest
import torch
import yaml

from rlhf.config.build import build
from rlhf.config.composition.session import session
from rlhf.config.plugins.folders import conf_dir
from rlhf.config.properties import controller_arguments
from rlhf.config.schema import Trainer

FILES = sorted(
    str(path.relative_to(conf_dir()).with_suffix("")) for path in conf_dir().rglob("*.yaml")
)

# What an option needs beside it to make sense, or where the user must fill in a value.
COMPANIONS = {
    **{f"annotator/{name}": ["annotator.path=some/model"] for name in ("classifier", "judge")},
    "annotator/openai": ["annotator.model=some-model"],
    "annotator/pool": ["+annotator@annotator.members.strict=gold"],
    "data/files": ["data.demonstrations=demos.jsonl", "data.preferences=pairs.jsonl"],
    "data/jsonl": ["data.demonstrations=demos.jsonl", "data.preferences=pairs.jsonl"],
    **{f"data/{name}": ["data.gold=vader"] for name in ("gpteacher", "self_instruct")},
    "data/vicuna": ["data.gold=vader", "sft=none"],  # prompts alone
    "model/hf": ["model.path=some/model"],
    "model/sharing/backbone": ["model/adapter=lora"],
    "optimizer/adamw_8bit": ["trainer=gpu"],
    "scorer/classifier": ["scorer.path=some/model"],
    "scorer/combined": ["+scorer@scorer.parts.sentiment=vader"],
    "scorer/function": ["scorer.function=tests.rewards.test_function.length"],
    "scorer/regex": ["scorer.pattern=a"],
    "tracking/several": ["+tracking@tracking.trackers.store=mlflow"],
    "advantage/none": ["algorithm=dpo"],
    "kl/estimator/exact": ["kl/placement=both"],
    "kl/placement/both": ["kl/estimator=exact"],
    "kl/placement/loss": ["kl/estimator=k3"],
    "kl/placement/loss_without_ratio": ["kl/estimator=k3"],
    "kl/placement/sequence_loss": ["kl/estimator=k2"],
    **{f"advantage/{name}": ["ppo.responses_per_prompt=2"] for name in ("rloo", "grpo", "dr_grpo")},
}
OPTIMIZERS = ("sft", "reward_model", "ppo")


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("trainer/")])
def test_every_trainer_lists_every_setting(file):
    """A setting that an option leaves out could not be set beside it."""
    values = yaml.safe_load((conf_dir() / f"{file}.yaml").read_text())
    assert values.keys() == Trainer.model_fields.keys()


def overrides(file):
    """The command lines that choose a file, and the dotted place where its values go."""
    group, _, option = file.rpartition("/")
    more = COMPANIONS.get(file, [])
    if group == "optimizer":
        return [
            ([f"optimizer@{stage}.optimizer={option}", *more], f"{stage}.optimizer")
            for stage in OPTIMIZERS
        ]
    if not group:
        return [([], "")]
    if group.startswith("experiment"):  # of a folder below too: experiment=claims/k2_in_loss
        return [([f"experiment={file.removeprefix('experiment/')}", *more], "")]
    nowhere = group == "model/adapter" or group.startswith("hydra/")
    nowhere |= (conf_dir() / f"{file}.yaml").read_text().startswith("# @package _global_")
    places = {"kl/coef": "kl", "model/sharing": "adapter"}
    place = places.get(group, "" if nowhere else group.replace("/", "."))
    return [([f"{group}={option}", *more], place)]


def written(file):
    """The values that the file itself sets, without those that refer to others or are left to
    the user."""
    values = yaml.safe_load((conf_dir() / f"{file}.yaml").read_text()) or {}
    # a stage sets its own learning rate
    skipped = {"defaults", "hydra", *(["lr"] if file.startswith("optimizer/") else [])}
    return {
        k: v
        for k, v in values.items()
        if k not in skipped and not (isinstance(v, str) and ("${" in v or v == "???"))
    }


def at(plain, place):
    for part in filter(None, place.split(".")):
        plain = plain[part]
    return plain


def holds(found, expected):
    """True if `expected` is in `found`; 1 is 1.0. What is interpolated may be anything."""
    if isinstance(expected, str) and "${" in expected:
        return True
    if isinstance(expected, dict):
        return all(key in found and holds(found[key], value) for key, value in expected.items())
    return found == expected


def built(config):
    """An object of each piece."""
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    kl = config.kl
    return [
        build(config.data),
        build(config.model),
        *(
            build(stage.optimizer, params=parameters)
            for stage in (config.sft, config.reward_model, config.ppo)
            # of a package that is not installed with this one
            if stage.optimizer.name != "adamw_8bit" or find_spec("bitsandbytes")
        ),
        build(kl.controller, **controller_arguments(kl, config.ppo)),
        *(build(piece) for piece in (kl.estimator, kl.placement, kl.reference)),
        build(config.trust_region),
        # these ask for a model's files
        *(
            piece if piece.name in ("classifier", "judge") else build(piece)
            for piece in (config.scorer, config.annotator)
        ),
        build(config.advantage),
        build(config.tracking),
        *(build(piece) for piece in config.callbacks.values()),
    ]


@pytest.mark.parametrize("file", FILES)
def test_composes_validates_and_builds(planned, file, monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests")
    for lines, place in overrides(file):
        found = planned(*lines)
        assert found.faults == []
        assert found.jobs
        for job in found.jobs:
            if file.startswith("hydra/"):
                continue
            given = [line.partition("=")[0] for line in job.overrides]
            expected = {
                key: v
                for key, v in written(file).items()
                if not {key, f"{place}.{key}"} & {*given, *(n.split(".")[0] for n in given)}
            }
            assert holds(at(job.config.plain(), place), expected)
        assert all(piece is not None for piece in built(found.jobs[0].config))


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("hydra/")])
def test_hydras_own_files_are_used(file):
    group, _, option = file.rpartition("/")
    with session() as hydra:
        config = hydra.compose_config(
            "config", [f"{group}={option}"], run_mode=None, with_log_configuration=False
        )
        assert config.hydra.runtime.choices[group] == option
        for key, value in written(file).items():
            assert config.hydra[group.removeprefix("hydra/")][key] == value


def test_the_walk_saw_every_group():
    """Counted here, so that a group cannot drop out of sight."""
    seen = {file.rpartition("/")[0] for file in FILES}
    groups = (
        "advantage algorithm annotator best_of_n callbacks checkpoints data evaluation experiment"
        " experiment/claims generation kl kl/coef kl/controller kl/estimator kl/placement"
        " kl/reference method"
    )
    groups += (
        " model model/adapter model/sharing optimizer paths ppo realign reward_model scorer sft"
        " tracking trainer trust_region hydra/help hydra/launcher hydra/sweeper"
    )
    assert seen == {"", *groups.split()}
    assert len(FILES) >= 60
    assert all(path.suffix == ".yaml" for path in conf_dir().rglob("*") if path.is_file())


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("experiment/")])
def test_an_experiment_opens_with_its_question(file):
    first, second = (conf_dir() / f"{file}.yaml").read_text().splitlines()[:2]
    assert first == "# @package _global_"
    assert second.startswith("# ")
    assert "?" in second
