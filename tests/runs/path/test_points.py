"""The points of a path: each is the path cut short, as a run of its own, to the byte."""

import pytest

from rlhf.rundir import noted
from rlhf.rundir.disk.aside import set_aside
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.paths.points import points_of
from rlhf.rundir.read import read_json, read_yaml
from rlhf.rundir.status import read_status
from rlhf.runs.path import write
from rlhf.tracking.base import NoTracker
from tests.runs.path.conftest import GRID

RECORDS = ("metrics.jsonl", "samples.jsonl", "by_prompt.jsonl")
CLOCK = ("wall_seconds", "cpu_seconds")


def bytes_of(directory):
    """What two makings of a run share: its records and its policy."""
    files = [directory / name for name in RECORDS] + sorted((directory / "policy").iterdir())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def same_facts(summary):
    return {k: v for k, v in summary.items() if k not in (*CLOCK, "path")}


def check_is_cut_path(point, alone):
    assert point.name == alone.name and bytes_of(point) == bytes_of(alone)
    one, two = (read_json(place / "summary.json") for place in (point, alone))
    assert same_facts(one) == same_facts(two)
    assert read_status(point)["state"] == "finished" and noted.is_complete(point)
    assert one.keys() == two.keys() and one["cpu_seconds"] > 0
    files = {path.name for path in alone.iterdir()} - {".lock", "points"}
    assert {path.name for path in point.iterdir()} == files


def test_each_point_is_the_path_cut_short(at):
    directory, summary = at("whole", GRID)
    points = points_of(directory)
    assert [place.parent for place in points] == [directory / "points"] * 2
    for number, point in enumerate(points):
        alone, its = at("alone", GRID[: number + 1])
        check_is_cut_path(point, alone)
        own = read_json(point / "summary.json")
        assert own["path"] == {"run": directory.name, "point": number, "points": 3}
        assert its["path"] == {"run": alone.name, "point": number, "points": number + 1}
        config = read_yaml(point / "config.yaml")
        assert config["paths"]["run_dir"] == str(point) and config["kl"]["coef"] == GRID[number]
    assert summary["path"] == {"run": directory.name, "point": 2, "points": 3}
    rows = read_jsonl(directory / "metrics.jsonl")
    held = [
        sum(row.get("path/point") == k and row["iteration"] > 0 for row in rows) for k in (0, 1, 2)
    ]
    ends = [read_json(place / "summary.json") for place in (*points, directory)]
    assert [end["point_iterations"] for end in ends] == held
    assert [end["iterations"] for end in ends] == [sum(held[: k + 1]) for k in range(3)]
    assert [end["episodes"] for end in ends] == [16 * end["iterations"] for end in ends]
    cpu = [row["cpu"] for row in read_jsonl(points[0] / "timings.jsonl")]
    assert ends[0]["cpu_seconds"] == pytest.approx(sum(cpu), abs=1e-3)
    assert not (directory / "points" / ".work").exists()


def test_policies_are_in_the_store_as_those_of_runs(at, artifacts):
    directory, _ = at("store", GRID)
    for point in points_of(directory):
        summary = read_json(point / "summary.json")
        artifact = artifacts / "ppo" / summary["fingerprints"]["ppo"]
        manifest = read_json(artifact / "manifest.json")
        assert manifest["policy_sha256"] == summary["policy_sha256"]
        assert manifest["config_hash"] == summary["config_hash"]


def test_a_state_is_kept_where_runs_keep_theirs(at):
    directory, _ = at("kept", GRID, "checkpoints.after_finish=last")
    for place in (*points_of(directory), directory):
        end = read_json(place / "summary.json")["iterations"]
        kept = sorted(path.name for path in (place / "checkpoints").iterdir())
        assert kept == [f"iteration-{end:06d}.ckpt", f"iteration-{end:06d}.sha256"]
        assert noted.is_complete(place)


def test_what_points_lost_is_put_back_or_named(at, caplog):
    directory, summary = at("lost", GRID)
    first, second = points_of(directory)
    before = bytes_of(first)
    (first / "metrics.jsonl").write_text("")
    (first / "policy" / "model.safetensors").unlink()
    assert noted.lost_results(first).keys() == {"metrics.jsonl", "policy/model.safetensors"}
    (second / "summary.json").unlink()
    assert at("lost", GRID)[1] == summary
    assert bytes_of(first) == before and not noted.losses(first)
    assert any("put back from the records of its path's run and" in m for m in caplog.messages)
    gone = [m for m in caplog.messages if m.startswith(f"{second}, point 1 of the path, is gone.")]
    assert gone and "kl.coef=0.2 kl.controller.grid=[0.5,0.2] makes it" in gone[0]


def test_a_point_is_handed_to_its_deliverer_once_it_stays_as_it_is(at, monkeypatch):
    """A kill right after the second point was written, which is damaged then: it is set aside and
    written again before any thread may be at work in it."""
    happened = []

    def add(self, directory, **shown):
        happened.append(("handed over", directory))

    def killed(self, directory, **shown):
        add(self, directory)
        if len(happened) == 2:
            raise RunFailed("killed")

    def aside(path):
        happened.append(("set aside", path))
        return set_aside(path)

    monkeypatch.setattr(write, "set_aside", aside)
    with monkeypatch.context() as patch, pytest.raises(RunFailed, match="killed"):
        patch.setattr(NoTracker, "add", killed)
        at("cut", GRID)
    first, second = (place for _, place in happened)
    (second / "metrics.jsonl").write_text("")
    happened.clear()
    monkeypatch.setattr(NoTracker, "add", add)
    at("cut", GRID)
    assert happened == [
        ("handed over", first),
        ("set aside", second),
        ("handed over", second),
    ]
    assert noted.is_complete(second)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["model/adapter=lora"], id="adapters"),
        pytest.param(["trainer.precision=bf16-true"], id="16 bits"),
        pytest.param(["generation.engine=hf", "generation.stop=[ab]"], id="other engine"),
        pytest.param(["kl.controller.keep_optimizer=false"], id="optimizer anew"),
        pytest.param(["kl.controller.keep_values=false", "ppo.critic_warmup=1"], id="values anew"),
        pytest.param(
            ["kl.controller.restart_lr=true", "ppo.lr_schedule=linear"], id="schedule anew"
        ),
        pytest.param(
            ["best_of_n=default", "best_of_n.samples=4", "best_of_n.prompts=4"], id="best of n"
        ),
    ],
)
def test_each_point_is_the_path_cut_short_with(at, words):
    directory, _ = at("whole", GRID[:2], *words)
    (point,) = points_of(directory)
    alone, _ = at("alone", GRID[:1], *words)
    check_is_cut_path(point, alone)
