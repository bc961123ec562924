import json
import os

import pytest

from rlhf.config.compose import compose, validate
from rlhf.runs.common.told import MOST, VARIABLE, distinct, telling, told


def config(*overrides):
    return validate(compose([*overrides, "tracking=none"]))


def test_a_coefficient_and_a_seed_are_in_common():
    """Rows, ids and the report follow from neither; from the length of a row they do."""
    first = config("kl.coef=0.1")
    same = config("kl.coef=0.2", "seed=3", "ppo.optimizer.lr=1e-5", "sft.seed=2")
    other = config("kl.coef=0.1", "sft.max_length=32")
    assert distinct([first, same, other]) == [first, other]


def test_what_the_server_is_told_is_bounded():
    assert len(distinct([config(f"sft.max_length={32 + i}") for i in range(MOST + 2)])) == MOST


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")
def test_the_server_reads_the_configs_from_memory():
    """Once: whoever it starts is told nothing."""
    with telling([config("kl.coef=0.1"), config("kl.coef=0.2")]):
        place = os.environ[VARIABLE]
        (plain,) = told()
        assert plain["kl"]["coef"] == 0.1 and json.dumps(plain)
        assert VARIABLE not in os.environ and told() == []
    assert not os.path.exists(place)


def test_nobody_is_told_of_no_jobs():
    with telling([]):
        assert VARIABLE not in os.environ
    assert told() == []
