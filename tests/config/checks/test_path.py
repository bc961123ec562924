"""A path's settings beside those of PPO, in whole configs: each fault is one sentence."""

import pytest

from rlhf.config.checks.path import path_cautions, path_faults
from rlhf.config.compose import compose, validate
from rlhf.config.naming import path_grid as plain_grid, run_name
from rlhf.config.properties import controller_arguments, most_iterations, path_grid
from rlhf.config.validate import cautions

PATH = "kl/controller=path"
LINES = [PATH, "kl.coef=0.1"]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["kl.controller.grid=[0.4,0.5,0.1]"], "fall from each to the next"),
        (["kl.controller.grid=[0.4,0.2]"], "a path ends at kl.coef; set kl.coef=0.2"),
        (["kl.controller.grid=[]"], "at least one coefficient"),
        (["kl.controller.grid=[0.4,-1,0.1]"], "kl.controller.grid.1=-1: "),
        (["kl.controller.start=0.05"], "start=0.05 must be above kl.coef=0.1"),
        (["kl.controller.points=1"], "a path from start to kl.coef has at least 2 points"),
        (["kl.controller.points=0"], "kl.controller.points=0: expected a whole number >= 1"),
        (["kl.controller.points=2000000000"], "in 4 significant digits; take fewer points"),
        (["kl.coef=0"], "no geometric path ends at 0"),
        (["kl.controller.window=5"], "kl.controller.window=5: must be even"),
        (
            ["ppo.iterations=5", "kl.controller.window=4"],
            "kl.controller.at_least=6: is more than ppo.iterations=5, the most iterations of a",
        ),
        (
            ["ppo.iterations=6", "kl.controller.window=8"],
            "kl.controller.window=8: no point can have so many rollouts: ppo.iterations=6",
        ),
        (
            ["ppo.rollout_size=1", "ppo.minibatch_size=1"],
            "ppo.rollout_size=1: one response has no standard error",
        ),
        (["kl/reference=synced"], "kl/reference=synced with kl/controller=path: the points of a"),
        (["kl/reference=ema"], "use kl/reference=sft"),
        (["ppo.lr_schedule=cosine"], "kl.controller.restart_lr=true begins it anew at each"),
    ],
)
def test_what_no_path_can_have(planned, lines, fault):
    (sentence,) = planned(*LINES, *lines).faults
    assert fault in sentence


class NoValues:
    name = "no_values"
    needs_values = False


def test_values_that_are_not_there_cannot_begin_anew():
    cfg = config("kl.controller.keep_values=false")
    (fault,) = path_faults(cfg.kl, cfg.ppo, cfg.algorithm, NoValues(), cfg.trainer)
    assert str(fault) == (
        "kl.controller.keep_values=false: there is no value model that could begin anew:"
        " algorithm=ppo with advantage=no_values trains none; leave it true"
    )
    assert not [*path_faults(cfg.kl, cfg.ppo, cfg.algorithm, cfg.advantage, cfg.trainer)]


@pytest.mark.parametrize(
    "lines",
    [
        ["kl.controller.tolerance=0", "ppo.iterations=2"],
        ["kl.coef=0", "kl.controller.grid=[0.2,0.1,0]"],
        ["kl.coef=0.4", "kl.controller.grid=[0.1,0.2,0.4]"],
        ["kl.controller.grid=[0.1]"],
        ["kl.controller.restart_lr=true", "ppo.lr_schedule=cosine"],
        ["trust_region=penalty"],
        ["ppo.critic_warmup=50", "ppo.iterations=10"],
    ],
)
def test_what_a_path_can_have(planned, lines):
    assert planned(*LINES, *lines).faults == []


def test_the_warm_up_of_the_values_must_leave_something_without_a_path(planned):
    (fault,) = planned("ppo.critic_warmup=10", "ppo.iterations=10").faults
    assert fault.startswith("ppo.critic_warmup=10: leaves none of ppo.iterations=10")


def config(*lines):
    return validate(compose([*LINES, *lines]))


def test_the_grid_and_the_most_iterations_of_a_config():
    cfg = config("kl.controller.points=3", "ppo.iterations=20", "ppo.critic_warmup=4")
    assert path_grid(cfg.kl) == (0.5, 0.2236, 0.1)  # sqrt(0.5 * 0.1) = 0.22360...
    assert most_iterations(cfg) == 4 + 3 * 20
    shorter = config("kl.controller.points=3", "ppo.iterations=20", "kl.controller.shrink=0.5")
    assert most_iterations(shorter) == 20 + 10 + 5
    assert controller_arguments(cfg.kl, cfg.ppo) == {"coef": 0.1, "iterations": 20}
    other = validate(compose(["kl/controller=pid", "ppo.iterations=20"]))
    assert (path_grid(other.kl), most_iterations(other)) == (None, 20)
    assert "iterations" not in controller_arguments(other.kl, other.ppo)


def test_a_path_has_one_name_however_its_grid_is_given():
    names = {
        run_name(config(*lines).plain())
        for lines in (
            ["kl.controller.points=3"],
            ["kl.controller.grid=[0.5,0.2236,0.1]"],
            ["kl.controller.grid=[0.5,0.2236,0.1]", "kl.controller.start=3"],
        )
    }
    (name,) = names
    assert name.startswith("kl0.1-path-seed0-")
    assert run_name(config("kl.controller.points=4").plain()) not in names


def test_a_point_has_the_name_of_the_path_cut_short():
    plain = config("kl.controller.points=3").plain()
    grid = plain_grid(plain["kl"])
    kl = plain["kl"]
    kl = {**kl, "coef": grid[1], "controller": {**kl["controller"], "grid": list(grid[:2])}}
    cut = config("kl.coef=0.2236", "kl.controller.grid=[0.5,0.2236]").plain()
    assert run_name({**plain, "kl": kl}) == run_name(cut)


def test_what_is_no_path_has_no_grid():
    controller = {"_target_": "rlhf.kl.path.Path", "start": 0.1, "points": 3, "grid": None}
    assert plain_grid({"coef": 0.2, "controller": controller}) is None
    assert plain_grid({"coef": "x", "controller": controller}) is None
    assert plain_grid({"coef": 0.05, "controller": controller}) == (0.1, 0.07071, 0.05)
    assert plain_grid({"coef": 0.2, "controller": {"_target_": "rlhf.kl.controller.Fixed"}}) is None
    assert plain_grid({"coef": 0.2}) is None


@pytest.mark.parametrize(
    ("lines", "cautioned"),
    [
        # 0.25 of 20: a rate that rises for 5 iterations, of a window of 6 whose later half begins
        # after the third
        (["kl.controller.restart_lr=true", "ppo.lr_warmup=0.25"], True),
        (["kl.controller.restart_lr=true", "ppo.lr_warmup=0.1"], False),
        (
            ["kl.controller.restart_lr=true", "ppo.lr_warmup=0.25", "kl.controller.at_least=9"],
            False,
        ),
        (["kl.controller.restart_lr=true", "kl.controller.tolerance=0"], False),
        (["kl.controller.restart_lr=false", "ppo.lr_warmup=0.25"], False),
    ],
)
def test_a_rate_that_is_still_rising_is_told(lines, cautioned):
    cfg = validate(compose([*LINES, "ppo.iterations=20", *lines]))
    assert [*map(str, cautions(cfg))] == [*path_cautions(cfg.kl, cfg.ppo)]
    assert bool(cautions(cfg)) is cautioned
