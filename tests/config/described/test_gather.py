"""Groups, options and keys of `conf/`, each with all that is to be known of it."""

from functools import cache

import pytest
from pydantic import BaseModel

from rlhf.config.described.facts import written
from rlhf.config.described.gather import groups
from rlhf.config.pieces.base import BY_ADDRESS
from rlhf.config.schema import Config


@cache
def named():
    """The groups by their names."""
    return {group.name: group for group in groups()}


def options():
    return [option for group in named().values() for option in group.options]


def every_key():
    """Each with its option."""
    return [(option, key) for option in options() for key in option.keys]


def option(group, name):
    (found,) = (option for option in named()[group].options if option.name == name)
    return found


def keys(group, name):
    return {key.name: key for key in option(group, name).keys}


def test_every_key_has_type_range_default_and_comment():
    lacking = [
        (option.file, key.name)
        for option, key in every_key()
        if not (key.type and key.range and key.default_text and key.comment)
    ]
    assert lacking == []
    assert len(every_key()) > 500


def test_every_key_of_ours_is_known_to_the_schema():
    """A type that only its value tells is that of Hydra's own plugins."""
    unknown = [key.name for _, key in every_key() if key.type in ("any", "any or null")]
    assert {name.split(".")[0] for name in unknown} == {"hydra"}


def test_every_key_says_who_reads_it():
    """What has neither a class nor code is a place that others are made of (`${paths.run_dir}`),
    or a plugin's."""
    silent = {key.name for _, key in every_key() if not (key.reader.by or key.reader.rules)}
    assert {name for name in silent if not name.startswith("hydra.launcher.ray.")} == set()


def test_every_field_of_the_schema_is_described():
    """Of sections their fields, of pieces the arguments of every class that has a YAML."""
    described = {key.name for _, key in every_key()}
    for section, field in Config.model_fields.items():
        node = field.annotation
        if isinstance(node, type) and issubclass(node, BaseModel):
            pieces = {"sft.optimizer", "reward_model.optimizer", "ppo.optimizer"}
            for name in node.model_fields:
                known = {f"{section}.{name}"} & (described | pieces | {*map(dotted, named())})
                assert known, f"{section}.{name}"
    for each in options():
        piece = BY_ADDRESS.get(each.target or "")
        arguments = {
            name for name, field in (piece.model_fields if piece else {}).items() if not field.alias
        }
        assert arguments <= {key.name.rpartition(".")[2] for key in each.keys}, each.file


def dotted(group):
    return group.replace("/", ".")


def test_every_group_and_option_says_what_it_is():
    assert [name for name, group in named().items() if not group.comment] == []
    assert [each.file for each in options() if not each.comment] == []


def test_a_key_whole():
    key = keys("kl/controller", "adaptive")["kl.controller.target"]
    assert (key.type, key.range, key.default, key.default_text) == ("number", "> 0", 6.0, "6")
    assert key.comment == "nats, by `unit`"
    assert key.reader.by == ("rlhf.kl.controller.Adaptive",)
    assert key.reader.stages == ("ppo",)
    assert "algorithm=dpo" in key.reader.unread_with
    assert "algorithm=ppo" not in key.reader.unread_with


def test_a_key_without_a_comment_has_that_of_the_group():
    assert keys("kl/controller", "pid")["kl.controller.target"].comment == "nats, by `unit`"


def test_an_option_that_stands_on_another():
    pretrained, default = keys("ppo", "pretrained"), keys("ppo", "default")
    assert pretrained.keys() == default.keys()
    assert (default["ppo.iterations"].default, pretrained["ppo.iterations"].default) == (60, 100)
    rate = pretrained["ppo.value_lr"]
    assert rate.comment == default["ppo.value_lr"].comment
    assert rate.note.startswith("InstructGPT's")
    assert pretrained["ppo.optimizer.lr"].default == 1e-6
    assert pretrained["ppo.optimizer.eps"].default == 1e-5  # of optimizer=adam


def test_what_an_option_chooses_and_sets():
    grpo = option("algorithm", "grpo")
    assert grpo.chooses == ("advantage=grpo", "kl=grpo_published")
    assert {each.name: each.value for each in grpo.sets}["ppo.responses_per_prompt"] == 8
    assert [key.name for key in grpo.keys] == ["algorithm.ratio", "algorithm.clip_high"]
    assert "kl/placement=reward" in option("kl", "ziegler").chooses
    assert "ppo=pretrained" in option("model", "smollm2").chooses


def test_defaults_are_those_of_the_command():
    defaults = {name: group.default for name, group in named().items()}
    assert defaults["kl"] == "instructgpt"
    assert defaults["kl/coef"] == "medium"
    assert defaults["hydra/launcher"] == "local"
    assert defaults["experiment"] is None


def test_experiments_in_folders_are_options():
    assert option("experiment", "claims/k2_in_loss").comment.count("?")


def test_groups_of_ones_own(tmp_path):
    (tmp_path / "kl" / "controller").mkdir(parents=True)
    (tmp_path / "kl" / "controller" / "mine.yaml").write_text(
        "# A controller of mine\n_target_: mine.Controller\nspeed: 2.5   # nats an hour\n"
    )
    (found,) = (group for group in groups(tmp_path) if group.name == "kl/controller")
    (mine,) = (option for option in found.options if option.name == "mine")
    assert (mine.comment, mine.target) == ("A controller of mine", "mine.Controller")
    (speed,) = mine.keys
    assert (speed.name, speed.type, speed.default_text) == ("kl.controller.speed", "number", "2.5")
    assert speed.reader.by == ("mine.Controller",)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), (1e-5, "1e-05"), (0.0067, "0.0067"), ("", '""')]
    + [([0, 0.25], "[0, 0.25]"), ({"a": [True]}, "{a: [true]}"), ("${study}", "${study}")],
)
def test_a_value_as_on_the_command_line(value, text):
    assert written(value) == text
