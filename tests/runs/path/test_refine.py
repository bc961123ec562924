"""A path that begins as another one did goes on from there: the same bytes as from the beginning,
or none of it."""

import pytest

from rlhf.rundir import noted
from rlhf.rundir.paths.points import points_of
from rlhf.rundir.read import read_json
from rlhf.runs.path import refine, write
from tests.runs.path.conftest import GRID
from tests.runs.path.test_points import bytes_of, same_facts

KEEP = "checkpoints.after_finish=last"
FINER = (0.5, 0.2, 0.15, 0.1)


def legs_of(directory):
    legs = read_json(directory / "manifest.json")["legs"]
    return [(leg.get("run"), leg["from_iteration"]) for leg in legs]


def check_equal(one, two):
    for a, b in zip((*points_of(one), one), (*points_of(two), two), strict=True):
        assert a.name == b.name and bytes_of(a) == bytes_of(b)
        ours, theirs = (read_json(place / "summary.json") for place in (a, b))
        assert same_facts(ours) == same_facts(theirs) and ours["path"] == theirs["path"]
        assert noted.is_complete(a)


@pytest.mark.parametrize(
    "coarse",
    [
        pytest.param(GRID, id="from a point"),
        pytest.param(GRID[:2], id="from a path's end", marks=pytest.mark.slow),
    ],
)
def test_a_finer_path_goes_on_from_the_last_point_that_both_have(at, caplog, coarse):
    """0.5, 0.2, 0.1, and then 0.15 between the last two, from the end of 0.2."""
    first, _ = at("one", coarse, KEEP)
    before = {place: bytes_of(place) for place in (*points_of(first), first)}
    caplog.clear()
    second, _ = at("one", FINER)
    whole, _ = at("two", FINER)
    source = points_of(first)[1] if coarse == GRID else first
    end = read_json(source / "summary.json")["iterations"]
    assert any(
        message.startswith(f"goes on from iteration {end} of {source}, which has the first 2 of")
        for message in caplog.messages
    )
    check_equal(second, whole)
    assert legs_of(whole) == [(None, 0)] and legs_of(second)[-1] == (None, end)
    assert all(run is not None for run, _ in legs_of(second)[:-1])
    assert read_json(points_of(second)[0] / "summary.json")["path"]["run"] == second.name
    assert {place: bytes_of(place) for place in before} == before


@pytest.mark.slow
def test_one_without_a_state_is_named_and_left_alone(at, caplog):
    first, _ = at("one", GRID)
    caplog.clear()
    second, _ = at("one", FINER)
    assert legs_of(second) == [(None, 0)]
    assert [m.partition(",")[0] for m in caplog.messages if "keeps no checkpoint" in m] == [
        str(points_of(first)[1]),
        str(points_of(first)[0]),
    ]


@pytest.mark.slow
def test_a_kill_while_it_is_taken_over_is_made_good(at, monkeypatch):
    at("one", GRID, KEEP)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(refine.longer, "copy_state", killed)
        with pytest.raises(KeyboardInterrupt):
            at("one", FINER)
    second, _ = at("one", FINER)
    whole, _ = at("two", FINER, "checkpoints.take_over=false")
    check_equal(second, whole)
    assert legs_of(second)[-1][1] > 0


@pytest.mark.slow
def test_checkpoints_that_are_removed_while_points_are_copied_are_done_without(at, monkeypatch):
    """`rlhf clean` removes those of a finished path under its lock, which the new path has not."""
    first, _ = at("one", GRID, KEEP)
    kept = points_of(first)[0] / "checkpoints"
    link, copied = refine.link, []

    def cleaned(source, target):
        if not copied:
            kept.rename(kept.with_name(".checkpoints.tmp"))
        copied.append(source)
        link(source, target)

    monkeypatch.setattr(refine, "link", cleaned)
    monkeypatch.setattr(write, "link", cleaned)
    second, _ = at("one", FINER, KEEP)
    whole, _ = at("two", FINER, KEEP)
    check_equal(second, whole)
    assert legs_of(second)[-1][1] > 0 and copied


def test_only_a_path_that_this_one_begins_with_is_gone_on_with(at):
    from rlhf.config.naming import path_grid

    directory, _ = at("one", GRID, KEEP)
    manifest = read_json(directory / "manifest.json")
    plain, prints = manifest["config"], manifest["fingerprints"]
    beside = directory.with_name("another")
    first, second = points_of(directory)
    assert path_grid(plain["kl"]) == GRID

    def alike(grid, kl=(), ppo=(), fingerprints=prints):
        own = {**plain["kl"], "coef": grid[-1], **dict(kl)}
        own["controller"] = {**plain["kl"]["controller"], "grid": list(grid)}
        config = {**plain, "kl": own, "ppo": {**plain["ppo"], **dict(ppo)}}
        return refine.beginning_alike(beside, config, grid, fingerprints)

    assert alike((0.5, 0.2, 0.1, 0.05)) == {first: 1, second: 2, directory: 3}
    assert alike(FINER) == {first: 1, second: 2}
    assert alike((0.5, 0.1)) == {first: 1}
    assert alike((0.4, 0.2)) == alike((0.5,)) == {}
    assert alike(FINER, ppo={"iterations": 4}) == {}
    assert alike(FINER, fingerprints={**prints, "sft": "another"}) == {}
