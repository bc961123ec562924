"""What runs come to together, counted by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from rlhf.runs.machine.fits import fit_of
from rlhf.runs.planned.jobs import PlannedRun
from rlhf.runs.planned.stages import StageState
from rlhf.runs.planned.totals import Part, _wall, shared_stages, totals


def planned(name, would="start", at=0, **known):
    """A run with the stages that are named, each with its key: sft=("to train", "key")."""
    stages = tuple(StageState(name=n, known=k, key=key) for n, (k, key) in known.items())
    return PlannedRun(
        name=name,
        hash=name,
        directory=Path(name),
        overrides=(),
        state="",
        would=would,
        at=at,
        iterations=4,
        stages=stages,
    )


TRAINED = {"sft": ("to train", "s"), "reward_model": ("to train", "r")}


def test_a_stage_of_several_runs_is_one():
    """Of a finished run nothing is needed."""
    runs = [
        planned("a", **TRAINED),
        planned("b", **{**TRAINED, "reward_model": ("made", "other")}),
        planned("c", would="resume", **TRAINED),
        planned("d", would="nothing", sft=("made", "old")),
    ]
    assert [(s.name, s.known, s.runs) for s in shared_stages(runs)] == [
        ("sft", "to train", 3),
        ("reward_model", "to train", 2),
        ("reward_model", "made", 1),
    ]
    assert shared_stages([]) == []


@pytest.fixture(scope="module")
def fit(cfg):
    return fit_of(cfg, Path("a"), None)


def test_shared_responses_are_drawn_once(fit):
    """Those of best of n, and the 32 that the reward model is normalised by; all others belong to
    a run."""
    drawn = fit.responses
    own = sum(n for purpose, n in drawn.items() if purpose not in ("best of n", "normalisation"))
    once = drawn.get("best of n", 0) + drawn["normalisation"]
    assert drawn["normalisation"] == 32 and own > 0
    one = totals([planned("a", **TRAINED)], [fit], 1)
    three = totals([planned(name, **TRAINED) for name in "abc"], [fit] * 3, 2)
    assert one.responses == own + once
    assert three.responses == 3 * own + once
    assert (three.runs, three.would, three.at_once) == (3, {"start": 3}, 2)
    assert three.kept - one.kept == 2 * fit.estimate.policy


def test_one_that_goes_on_draws_what_is_left(fit):
    """3 of 4 iterations are left."""
    new = totals([planned("a", **TRAINED)], [fit], 1)
    rest = totals([planned("a", would="resume", at=1, **TRAINED)], [fit], 1)
    assert new.responses - rest.responses == fit.responses["training"] / 4


def test_finished_ones_and_repeated_ones_count_nothing_more(fit):
    runs = [planned("a", **TRAINED), planned("a", **TRAINED), planned("b", would="nothing")]
    both = totals(runs, [fit, fit, None], 4)
    assert (both.runs, both.would, both.at_once) == (2, {"start": 1, "nothing": 1}, 1)
    assert both.responses == totals(runs[:1], [fit], 4).responses


def test_models_whose_shape_is_not_known(fit):
    both = totals([planned("a", **TRAINED), planned("b", **TRAINED)], [fit, None], 2)
    assert (both.unknown, both.at_once) == (1, 2)
    none = totals([planned("a", **TRAINED)], [None], 2)
    assert (none.unknown, none.responses, none.work, none.disk) == (1, 0, None, 0)


def test_a_stage_that_is_made_takes_nothing(fit):
    made = replace(fit, stages=("ppo",), unsure=())
    some = {"sft": ("made", "s"), "reward_model": ("made", "r")}
    one = totals([planned("a", **some)], [made], 1)
    assert one.responses == sum(made.responses.values())
    assert "normalisation" not in made.responses
    assert one.kept == made.estimate.policy


def test_the_time_of_several_at_once():
    """Two stages side by side, 6 to 8 s in all; then three runs of 3 to 6 s, two at a time."""
    part = Part(seconds=(3.0, 4.0), responses=0, kept=0, disk=0)
    run = replace(part, seconds=(3.0, 6.0))
    assert _wall([run] * 3, [part] * 2, 2) == (3.0 + 4.5, 4.0 + 9.0)
    assert _wall([run] * 3, [part] * 2, 1) == (6.0 + 9.0, 8.0 + 18.0)
    assert _wall([replace(run, seconds=None)], [part], 4) == (3.0, 4.0)
