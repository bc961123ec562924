"""SIGKILL and SIGTERM, for real, where a point is being written: whoever comes after has exactly
one whole point, to the byte."""

import multiprocessing
import os
import signal
import sys

import pytest

from rlhf.rundir import noted
from rlhf.rundir.disk.aside import strays
from rlhf.rundir.paths.points import points_of
from rlhf.rundir.read import read_json
from rlhf.rundir.status import read_status
from tests.conftest import SMALL
from tests.runs.path.conftest import GRID, words
from tests.runs.path.test_points import bytes_of, same_facts

# what the process does, as Python's audit names it, and the end of a path that it does it to
MOMENTS = {
    "the state is saved, nothing else": ("os.mkdir", "points/.work/{0}"),
    "its records are written": ("open", "points/.work/{0}/config.yaml"),
    "its policy is": ("open", "points/.work/{0}/policy/tokenizer.json"),
    "all is written but the summary": ("open", "points/.work/{0}/summary.json"),
    "all is written": ("os.rename", "points/{0}"),
    "it is there, its policy is not published": ("os.mkdir", ".work"),
}
AFTER = {"the run's own policy is written": ("open", "run/policy/tokenizer.json")}


def child(root, moment, point, number):
    """Brings the path to its end, or to a moment at one of its points."""
    from rlhf.config.compose import compose, validate
    from rlhf.rundir.signals import release
    from rlhf.runs.execute import execute

    release()  # the server that forked this process holds them
    if moment is not None:
        event, pattern = (MOMENTS | AFTER)[moment]
        end = pattern.format(point)

        def look(happened, arguments):
            if happened != event:
                return
            places = [os.fsdecode(a) for a in arguments[:2] if isinstance(a, str | bytes)]
            places += [os.fspath(a) for a in arguments[:2] if isinstance(a, os.PathLike)]
            if any(_is(place, end) for place in places):
                os.kill(os.getpid(), number)

        sys.addaudithook(look)
    place = [f"paths.artifacts={root / 'artifacts'}", "checkpoints.after_finish=last"]
    cfg = validate(compose([*SMALL, *words(GRID), *place, "ppo.checkpoint_every=2"]))
    sys.exit(execute(cfg, directory=root / "run"))


def _is(place, end):
    if end == ".work":
        return "artifacts/ppo/" in place and place.endswith(end)
    folder, _, name = end.rpartition("/")
    own = place.rpartition("/")
    # a file is written under another name, aside
    return own[0].endswith(folder) and (own[2] == name or own[2].startswith(f".{name}."))


def run_until(root, moment=None, point="", number=signal.SIGKILL):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rlhf.runs.preload"])
    process = context.Process(target=child, args=(root, moment, point, number))
    process.start()
    process.join(180)
    return process.exitcode


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    assert run_until(root) == 0
    return root


def check_same(root, whole):
    ours, theirs = (points_of(side / "run") for side in (root, whole))
    assert [place.name for place in ours] == [place.name for place in theirs]
    for one, two in zip((*ours, root / "run"), (*theirs, whole / "run"), strict=True):
        assert bytes_of(one) == bytes_of(two) and noted.is_complete(one)
        left = [
            {k: v for k, v in same_facts(read_json(p / "summary.json")).items() if k != "name"}
            for p in (one, two)
        ]
        assert left[0] == left[1]
        kept = [sorted(f.name for f in (p / "checkpoints").iterdir()) for p in (one, two)]
        assert kept[0] == kept[1]
    folders = sorted(path.name for path in (root / "run" / "points").iterdir())
    assert folders == sorted(place.name for place in ours) and not strays(root / "run")
    for store in ("sft", "reward_model", "ppo"):
        made = [
            sorted(path.name for path in (side / "artifacts" / store).iterdir())
            for side in (root, whole)
        ]
        assert made[0] == made[1]


@pytest.mark.slow
@pytest.mark.parametrize("moments", [[*MOMENTS][:3], [*MOMENTS][3:]], ids=["early", "late"])
def test_killed_three_times_at_a_point_and_started_again(tmp_path, whole, moments):
    first, second = (place.name for place in points_of(whole / "run"))
    points = [first, second, second] if moments[0] == [*MOMENTS][0] else [first, first, second]
    for moment, point in zip(moments, points, strict=True):
        assert run_until(tmp_path, moment, point) == -signal.SIGKILL
        there = [place.name for place in points_of(tmp_path / "run")]
        assert all(noted.is_finished(tmp_path / "run" / "points" / name) for name in there)
        assert not (tmp_path / "run" / "summary.json").exists()
    assert run_until(tmp_path) == 0
    check_same(tmp_path, whole)


@pytest.mark.slow
def test_stopped_three_times_and_started_again(tmp_path, whole):
    """A signal lets the point be written that is under way."""
    first, second = (place.name for place in points_of(whole / "run"))
    moments = zip(([*MOMENTS][0], [*MOMENTS][3], *AFTER), (first, second, ""), strict=True)
    for count, (moment, point) in enumerate(moments, 1):
        assert run_until(tmp_path, moment, point, signal.SIGTERM) == 143
        assert read_status(tmp_path / "run")["state"] == "stopped"
        assert len(points_of(tmp_path / "run")) == min(count, 2)
    assert run_until(tmp_path) == 0
    check_same(tmp_path, whole)
