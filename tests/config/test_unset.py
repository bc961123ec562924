"""Keys that older configs do not have decide nothing where they are not set."""

import pytest

from rlhf.config.compose import validate
from rlhf.config.naming import UNSET, run_hash


def without_unset(plain):
    """The config as it was written before there were these keys."""
    keys = {key for key, _ in UNSET}
    return {
        name: {k: v for k, v in section.items() if f"{name}.{k}" not in keys}
        if isinstance(section, dict)
        else section
        for name, section in plain.items()
    }


@pytest.mark.parametrize("more", [[], ["data=micro"], ["model=hf", "model.path=some/model"]])
def test_an_older_config_is_valid_and_the_same_run(planned, more):
    plain = planned(*more).jobs[0].config.plain()
    older = without_unset(plain)
    assert "gradient_checkpointing" not in older["trainer"] and older != plain
    assert run_hash(older) == run_hash(plain)
    assert run_hash(validate(older).plain()) == run_hash(plain)


def test_a_path_whose_points_are_as_long_is_the_path_of_before(planned):
    path = ["kl/controller=path", "kl.controller.points=3", "kl.coef=0.1"]
    plain = planned(*path).jobs[0].config.plain()
    controller = {k: v for k, v in plain["kl"]["controller"].items() if k != "shrink"}
    older = {**plain, "kl": {**plain["kl"], "controller": controller}}
    assert run_hash(older) == run_hash(plain) == run_hash(validate(older).plain())
    other = planned(*path, "kl.controller.shrink=0.5").jobs[0].config.plain()
    assert run_hash(other) != run_hash(plain)


@pytest.mark.parametrize(
    "line",
    [
        *("sft.micro_batch_size=2", "generation.micro_batch_tokens=64", "model.attention=eager"),
        *("trainer.gradient_checkpointing=true", "generation.engine=hf", "generation.graphs=false"),
    ],
)
def test_where_they_are_set_the_last_digits_may_differ(planned, line):
    one, other = (planned(*lines).jobs[0].config.plain() for lines in ([], [line]))
    assert run_hash(one) != run_hash(other)
