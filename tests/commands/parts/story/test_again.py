"""The words of a command that makes a run, from its resolved config."""

import shlex

import pytest

from rlhf.commands.parts.story.again import (
    command,
    default_config,
    differing,
    sweep_command,
    written,
)
from rlhf.config.compose import compose
from rlhf.config.composition.resolve import resolve
from rlhf.config.naming import run_hash

COMMANDS = {
    "defaults": [],
    "pieces": [
        *("study=mine", "seed=3", "kl/controller=pid", "kl.controller.target=4"),
        *("optimizer@ppo.optimizer=adamw", "ppo.optimizer.lr=0.0005"),
    ],
    "a path": ["kl/controller=path", "kl.coef=0.1", "kl.controller.grid=[0.4,0.2,0.1]"],
    "texts": ["data=jsonl", "data.preferences='a b, c.jsonl'", "stage=sft", "kl=ziegler"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_the_words_make_the_same_run(words):
    """Whatever was said, what comes out is composed to the same hash."""
    config = resolve(compose(words))[0]
    again = command(config, run_hash(config))
    assert again is not None
    first, *rest = shlex.split(again)
    assert first == "rlhf"
    assert run_hash(resolve(compose(rest))[0]) == run_hash(config)
    assert (words == []) == (rest == [])


def test_of_what_is_unknown_there_is_no_command():
    config = {**default_config(), "seed": 1}
    assert command(config, "00000000") is None  # another hash
    config["kl"] = {**config["kl"], "controller": {"_target_": "mine.Controller"}}
    assert command(config, run_hash(config)) is None


def test_the_settings_that_differ():
    config = resolve(compose(["kl.coef=0.2", "kl/controller=adaptive", "study=s"]))[0]
    told = differing(config)
    assert told["kl.coef"] == 0.2 and told["kl.controller"] == "adaptive"
    assert next(iter(told)) == "study"
    assert set(told) >= {"kl.controller.target"}  # that the piece brings
    assert "paths.run_dir" not in told and "tracking" not in told
    assert differing(default_config()) == {}


def test_values_as_hydra_takes_them():
    assert written([0.1, None, True]) == "[0.1,null,true]"
    assert written("a/b-1.5e") == "a/b-1.5e"
    assert written("1e5") == "'1e5'" and written("null") == "'null'"  # texts, not values
    assert written("it's here") == "'it\\'s here'"
    assert written({"a": 1, "b": "x y"}) == "{a:1,b:'x y'}"


def test_the_command_of_a_sweep():
    assert sweep_command(["experiment=quickstart"]) == "rlhf experiment=quickstart"
    assert sweep_command(["kl.coef=0,0.1", "seed=0"]) == "rlhf -m kl.coef=0,0.1 seed=0"
    assert sweep_command(["kl.controller.grid=[1,2]"]) == "rlhf 'kl.controller.grid=[1,2]'"
    flags = ["--config-dir=my conf", "--allow-targets=mine"]
    told = sweep_command(["seed=0,1"], flags)
    assert told == "rlhf '--config-dir=my conf' --allow-targets=mine -m seed=0,1"
