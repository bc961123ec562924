"""A path as a whole run: cut anywhere and gone on with it gives the same bytes, and each of its
points is what the path cut short gives."""

import math
import signal

import pytest
import torch

from rlhf.callbacks.checkpoint import checkpoint_path, checkpoints
from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json
from rlhf.rundir.status import read_status

FILES = ("metrics.jsonl", "samples.jsonl", "by_prompt.jsonl", "policy/model.safetensors")
# at most two iterations at a point; evaluations and checkpoints at the ends of points alone
PATH = (
    *("kl/controller=path", "ppo.iterations=2", "kl.controller.at_least=1"),
    *("kl.controller.window=2", "evaluation.every=100", "ppo.checkpoint_every=100"),
)
ANEW = (
    *("kl.controller.restart_lr=true", "ppo.lr_schedule=cosine", "ppo.lr_warmup=0.5"),
    *("kl.controller.keep_optimizer=false", "kl.controller.keep_values=false"),
)


def path(*grid):
    return [*PATH, f"kl.coef={grid[-1]}", f"kl.controller.grid=[{','.join(map(str, grid))}]"]


THREE = [*path(0.4, 0.2, 0.1), "kl.controller.tolerance=0"]
SETTLES = [*path(0.4, 0.2, 0.1), "ppo.iterations=5", "kl.controller.tolerance=1e9"]


class Killed(Exception):
    """As by SIGKILL: nothing is saved."""


@pytest.fixture
def kill_at(monkeypatch):
    """kill_at(iteration): the run ends when that one has just been recorded."""
    from rlhf.callbacks import recorder

    original, left = recorder.write_status, []

    def write(directory, **status):
        original(directory, **status)
        if left and status.get("stage") == "ppo" and status["iteration"] == left[0]:
            left.clear()
            raise Killed

    monkeypatch.setattr(recorder, "write_status", write)
    return left.append


def rows(directory):
    return read_jsonl(directory / "metrics.jsonl")


def same(one, other, files=FILES):
    for name in files:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_whole_run(run_in, tmp_path):
    directory = tmp_path / "run"
    summary = run_in(directory, *THREE)
    records = rows(directory)
    assert [row.get("kl/coef") for row in records] == [None, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1]
    evaluated = [row["iteration"] for row in records if "eval/reward/gold" in row]
    assert evaluated == [0, 2, 4, 6]
    assert (summary["iterations"], summary["kl.coef"], summary["kl.coef_final"]) == (6, 0.1, 0.1)
    assert summary["kl.controller"] == "path"
    assert read_status(directory)["state"] == "finished"


@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), id="kept"),
        pytest.param(ANEW, id="anew"),
        *(
            pytest.param((*ANEW, word), id=word, marks=pytest.mark.slow)
            for word in ("trainer.precision=bf16-true", "optimizer@ppo.optimizer=sgd")
        ),
    ],
)
def test_stopped_at_every_iteration_it_gives_the_same_bytes(run_in, tmp_path, stop_at, more):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_in(whole, *THREE, *more)
    for iteration in (1, 2, 3, 4, 5):  # 2 and 4 are ends of points
        stop_at("ppo", iteration, signal.SIGTERM)
        with pytest.raises(Stopped):
            run_in(cut, *THREE, *more)
        assert len(rows(cut)) == iteration + 1
    run_in(cut, *THREE, *more)
    same(whole, cut)


def test_killed_it_goes_on_from_the_last_points_end(run_in, tmp_path, kill_at):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_in(whole, *THREE, *ANEW)
    for iteration, saved in ((1, []), (3, [2]), (4, [2]), (6, [4, 2])):
        kill_at(iteration)
        with pytest.raises(Killed):
            run_in(cut, *THREE, *ANEW)
        assert checkpoints(cut) == [checkpoint_path(cut, each) for each in saved]
    run_in(cut, *THREE, *ANEW)
    same(whole, cut)


def test_settled_it_ends_before_its_most_iterations(run_in, tmp_path, monkeypatch):
    """And so it does when it is killed between its last checkpoint and its end."""
    from rlhf.stages import ppo

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    summary = run_in(whole, *SETTLES)
    assert summary["iterations"] == 6
    assert [row.get("path/held") for row in rows(whole)] == [None, 1, 2, 1, 2, 1, 2]

    digest = ppo.file_digest

    def killed(path):
        if ".work" in path.parts:  # of a point
            return digest(path)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ppo, "file_digest", killed)
        with pytest.raises(Killed):
            run_in(cut, *SETTLES)
    assert read_json(cut / "status.json")["iteration"] == 6
    assert run_in(cut, *SETTLES)["policy_sha256"] == summary["policy_sha256"]
    same(whole, cut)


@pytest.mark.parametrize("more", [(), ANEW], ids=["kept", "anew"])
def test_a_point_is_the_path_cut_short(run_in, tmp_path, stop_at, more):
    """Rows, weights, optimizer and all other state that a checkpoint has."""
    long, short = tmp_path / "long", tmp_path / "short"
    stop_at("ppo", 4, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(long, *THREE, *more)
    keep = "checkpoints.after_finish=last"
    own = [*path(0.4, 0.2), "kl.controller.tolerance=0", *more, keep]
    run_in(short, *own)
    same(long, short, FILES[:3])
    states = [torch.load(checkpoint_path(d, 4), weights_only=True) for d in (long, short)]
    differ = [part for part in states[0] if not alike(states[0][part], states[1][part])]
    assert differ == ["records"]  # with the moment of each


def alike(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other


def test_upwards(run_in, tmp_path):
    run_in(tmp_path / "run", *path(0.1, 0.4), "kl.controller.tolerance=0")
    assert [row["kl/coef"] for row in rows(tmp_path / "run")[1:]] == [0.1, 0.1, 0.4, 0.4]


@pytest.mark.slow
def test_where_the_exact_answer_is_known_each_point_is_judged_by_its_own_coefficient(
    run_in, tmp_path
):
    """J = reward - coef * KL, of the point that ended; and the optimum at that coefficient, the
    more the lower it is."""
    lines = [
        *("data=micro", "ppo=micro", "advantage=exact", "scorer=micro", "callbacks=oracle"),
        *("ppo.rollout_size=16", "ppo.minibatch_size=8", "ppo.critic_warmup=1", "model.layers=1"),
        *THREE,
        *ANEW,
    ]
    run_in(tmp_path / "run", *lines, without="data.")
    ends = [row for row in rows(tmp_path / "run") if "oracle/objective" in row][1:]
    assert [row["iteration"] for row in ends] == [3, 5, 7]
    for row in ends:
        expected = row["oracle/reward"] - row["kl/coef"] * row["oracle/kl"]
        assert row["oracle/objective"] == pytest.approx(expected)
    best = [row["oracle/optimum"] for row in ends]
    assert best == sorted(best)
    assert read_json(tmp_path / "run" / "oracle.json")["beta"] == 0.1


def test_it_is_no_longer_run_of_another_path(run_in, tmp_path, caplog):
    """Its iterations are those of a point: the state of one with more of them is not taken."""
    folder = tmp_path / "outputs"
    keep = ["checkpoints.after_finish=last", f"paths.outputs={folder}"]
    lines = [*path(0.4, 0.1), "kl.controller.tolerance=0", *keep]
    run_in(folder / "kl0.1-path-seed0-aaaaaaaa", *lines)
    run_in(folder / "kl0.1-path-seed0-bbbbbbbb", *lines, "ppo.iterations=3")
    legs = read_json(folder / "kl0.1-path-seed0-bbbbbbbb" / "manifest.json")["legs"]
    assert [leg["from_iteration"] for leg in legs] == [0]
    assert "goes on from" not in caplog.text


def test_a_stage_before_it_has_no_points(run_in, tmp_path, caplog):
    """Its config names a path that it does not train."""
    for _ in range(2):
        run_in(tmp_path / "sft", *THREE, "stage=sft")
    assert "point 0 of the path" not in caplog.text


def test_at_its_end_the_status_has_the_iterations_that_it_took(run_in, tmp_path):
    lines = [*SETTLES, "realign=default", "realign.lambdas=[0.5]", "realign.prompts=4"]
    summary = run_in(tmp_path / "run", *lines, "realign.by=[weights]", "realign.samples=1")
    status = read_status(tmp_path / "run")
    assert (status["stage"], status["iteration"]) == ("realign", summary["iterations"])
    assert status["iterations"] == summary["iterations"]


@pytest.mark.slow
def test_two_ranks_walk_as_one_does(run_in, tmp_path, stop_at):
    two_ranks = ["trainer.strategy=ddp", "trainer.devices=2"]
    lines = [*path(0.4, 0.1), "ppo.iterations=4", "kl.controller.tolerance=1", *ANEW]
    lines += ["ppo.critic_warmup=1"]
    one, two, cut = (tmp_path / name for name in ("one", "two", "cut"))
    run_in(one, *lines)
    run_in(two, *lines, *two_ranks)
    assert len(rows(one)) == len(rows(two))
    for mine, other in zip(rows(one), rows(two), strict=True):
        assert mine.keys() == other.keys()
        for name in mine:
            assert math.isclose(mine[name], other[name], rel_tol=1e-3, abs_tol=1e-3), name
    stop_at("ppo", 3, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(cut, *lines, *two_ranks)
    run_in(cut, *lines, *two_ranks)
    same(two, cut)
