"""Whoever reads runs reads a path's points as runs: comparisons, samples, exports, the oracle,
reproductions."""

import csv
import json
import math

import pytest

from rlhf.rundir.paths.points import points_of
from rlhf.rundir.read import read_json
from tests.callbacks.test_oracle import SMALL as MICRO
from tests.runs.path.conftest import GRID, words


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """(folder, directories) of paths with two seeds on an enumerable problem, the finer path that
    goes on from the first, and a run of one coefficient."""
    from rlhf.config.compose import compose, validate
    from rlhf.runs.execute import directory_of
    from rlhf.runs.run import run

    root = tmp_path_factory.mktemp("walked")
    places = [f"paths.artifacts={root / 'artifacts'}", f"paths.outputs={root}", "study=s"]
    directories = []
    for own in (
        [*words(GRID), "seed=0", "checkpoints.after_finish=last"],
        [*words(GRID), "seed=1"],
        [*words((0.5, 0.2, 0.15)), "seed=0"],
        ["kl.coef=0.2"],
    ):
        cfg = validate(compose([*MICRO, "ppo.lr_schedule=constant", *places, *own]))
        directories.append(directory_of(cfg))
        run(cfg, directory=directories[-1])
    return root / "s", directories


def test_points_are_read_as_runs_of_their_paths(walked):
    from rlhf.compare.read.runs import gather, load

    folder, (first, second, finer, fixed) = walked
    runs = {run.name: run for run in load(folder)}
    # two paths of three; of the finer one the first two points are the first path's own
    assert len(runs) == 3 + 3 + 1 + 1
    for directory in (first, second):
        for number, place in enumerate(points_of(directory)):
            run = runs[place.name]
            assert run.finished and run.path in {(directory.name, number), (finer.name, number)}
            assert run.config["kl.coef"] == run.summary["kl.coef"] == GRID[number]
            assert run.config["kl.controller.grid"] == [*GRID[: number + 1]]
        assert runs[directory.name].path == (directory.name, 2)
    assert runs[finer.name].config["kl.controller.grid"] == [0.5, 0.2, 0.15]
    assert runs[fixed.name].path is None
    # the same however they are named, a point alone, or twice
    point = points_of(second)[0]
    named = gather([second, point, first, fixed])
    assert [run.name for run in named] == [
        *(place.name for place in (*points_of(second), second)),
        *(place.name for place in (*points_of(first), first)),
        fixed.name,
    ]
    (alone,) = gather([point])
    assert (alone.path, alone.config) == ((second.name, 0), runs[point.name].config)


@pytest.mark.slow
def test_a_comparison_of_a_path_has_all_its_points(walked, tmp_path, monkeypatch, capsys):
    from rlhf.commands.results.compare import main

    monkeypatch.chdir(tmp_path)
    folder, (first, *_) = walked
    assert main([str(first), "--into", str(tmp_path / "own")]) == 0
    with (tmp_path / "own" / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["kl.coef"]) for row in rows] == [*GRID]
    with (tmp_path / "own" / "oracle.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    assert main([str(first)]) == 0 and (tmp_path / "outputs" / "comparisons").is_dir()
    assert main([str(folder), "--into", str(tmp_path / "all"), "--no-tracking"]) == 0
    with (tmp_path / "all" / "runs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 8


def test_the_oracle_answers_at_each_point(walked):
    _, (first, *_) = walked
    ends = [*points_of(first), first]
    for coef, place in zip(GRID, ends, strict=True):
        exact, summary = read_json(place / "oracle.json"), read_json(place / "summary.json")
        assert exact["beta"] == coef
        assert math.isclose(exact["mean"]["kl"], summary["oracle/kl"], rel_tol=1e-9)


def test_a_point_is_sampled_and_exported_by_its_directory(walked, tmp_path, monkeypatch, capsys):
    from rlhf.commands.models.sample import main
    from rlhf.export.made import NoModel, find

    monkeypatch.chdir(tmp_path)
    folder, (first, *_) = walked
    point = points_of(first)[0]
    assert find(point).folder("policy") == point / "policy"
    assert find(point).prints["ppo"] == read_json(point / "summary.json")["fingerprints"]["ppo"]
    prompt = json.loads((point / "samples.jsonl").read_text().splitlines()[0])["prompt"]
    assert main([str(point), "--prompt", prompt]) == 0
    assert "KL" in capsys.readouterr().out
    # of a path that has not ended
    cut = tmp_path / "cut"
    (cut / "points").mkdir(parents=True)
    (cut / "points" / point.name).symlink_to(point)
    (cut / "manifest.json").write_text((first / "manifest.json").read_text())
    with pytest.raises(NoModel, match=f"Points of it that have ended do:\n  .*{point.name}"):
        made = find(cut)
        object.__setattr__(made, "summary", {})
        made.manifest["config"] = {}
        made.folder("policy")


@pytest.mark.slow
def test_a_point_is_reproduced_in_a_place_of_its_own(walked, tmp_path, monkeypatch, capsys):
    from rlhf.commands.runs.reproduce import main

    monkeypatch.chdir(tmp_path)
    _, (first, *_) = walked
    point = points_of(first)[1]
    new = tmp_path / "new"
    assert main([str(point), "--reuse-stages", "--into", str(new)]) == 0
    assert "bitwise equal" in capsys.readouterr().out
    assert read_json(new / "summary.json")["path"]["points"] == 2
    assert len(points_of(new)) == 1
