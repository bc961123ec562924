import os
import subprocess
import sys

import pytest

from rlhf.commands.results.compare import main
from rlhf.compare.read.runs import (
    fingerprints,
    gather,
    home,
    inexact,
    load,
    load_run,
    manifests,
    revisions,
    shared,
    versions,
)
from rlhf.compare.statistics.settings import differing, group, reward_keys


def test_every_fate_of_a_job_is_seen(rundirs, tmp_path):
    for state in ("finished", "failed", "stopped", "running"):
        rundirs.make_run(tmp_path / f"a-{state}", state=state)
    live = rundirs.make_run(tmp_path / "live", state="running")
    rundirs.write(live / "status.json", {"state": "running", "pid": os.getpid()})
    (tmp_path / "notes").mkdir()
    (tmp_path / "empty").mkdir()
    jobs = [
        {"name": "empty", "overrides": ["kl.coef=1"]},
        {"name": "never", "overrides": ["kl.coef=2"]},
        {"name": "live"},
    ]
    rundirs.write(tmp_path / "sweep.json", {"jobs": jobs})

    runs = {run.name: run for run in load(tmp_path)}
    assert {name: run.status for name, run in runs.items()} == {
        "a-failed": "failed",
        "a-finished": "finished",
        "a-running": "cut",  # its process is gone
        "a-stopped": "stopped",
        "empty": "not started",
        "live": "running",
        "never": "not started",
    }
    assert runs["never"].overrides == ("kl.coef=2",)
    assert runs["a-failed"].error == "ValueError: the reward became nan"
    assert runs["a-failed"].summary == {}
    assert len(runs["a-failed"].metrics) == 4


def test_pieces_have_their_names(rundirs, tmp_path):
    run = load_run(rundirs.make_run(tmp_path / "a", controller="Adaptive"))
    assert (run.config["kl.controller"], run.config["kl.controller.target"]) == ("adaptive", 6.0)
    pieces = {"kl.controller", "tracking", "algorithm", "advantage", "adapter", "annotator"}
    assert run.pieces == pieces


def test_pieces_have_their_names_where_no_config_was_composed(rundirs, tmp_path):
    """As in a fresh `rlhf compare`: nothing but the reader is imported."""
    rundirs.make_run(tmp_path / "a", controller="Adaptive")
    code = (
        "from pathlib import Path; from rlhf.compare.read.runs import load_run;"
        " print(load_run(Path('a')).config['kl.controller'])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "adaptive\n"


def test_a_setting_is_what_differs_but_the_seed(rundirs, tmp_path):
    for coef in (0.2, 0.05, 0.1):
        for seed in (0, 1):
            rundirs.make_run(
                tmp_path / f"c{coef}s{seed}",
                coef=coef,
                seed=seed,
                proxy=coef + seed,
                tracking={"uri": f"u{seed}"},
            )
    settings = group(load(tmp_path))
    assert [s.label for s in settings] == ["kl.coef=0.05", "kl.coef=0.1", "kl.coef=0.2"]
    assert [s.short for s in settings] == ["0.05", "0.1", "0.2"]
    assert [len(s.runs) for s in settings] == [2, 2, 2]
    assert settings[0]["reward/proxy"].mean == 0.55
    assert settings[0]["not/there"].n == 0


def test_controllers_are_named_as_their_files_and_bring_no_keys_along(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "f", controller="Fixed")
    rundirs.make_run(tmp_path / "a", controller="Adaptive")
    rundirs.make_run(tmp_path / "b", controller="Adaptive", coef=0.2)
    assert list(differing(load(tmp_path))) == ["kl.controller", "kl.coef"]
    assert [s.label for s in group(load(tmp_path))] == [
        "kl.controller=adaptive kl.coef=0.05",
        "kl.controller=adaptive kl.coef=0.2",
        "kl.controller=fixed kl.coef=0.05",
    ]


def test_a_key_of_a_class_that_varies_within_it_counts(rundirs, tmp_path):
    for name, target in (("a", 4.0), ("b", 6.0)):
        node = {"_target_": "rlhf.kl.controller.AdaptiveAlpacaFarm", "target": target}
        rundirs.make_run(tmp_path / name, config={"kl": {"coef": 0.1, "controller": node}})
    rundirs.make_run(
        tmp_path / "c",
        config={"kl": {"coef": 0.1, "controller": {"_target_": "rlhf.kl.controller.PID"}}},
    )
    found = differing(load(tmp_path))
    assert found["kl.controller"] == {
        "a": "adaptive_alpaca_farm",
        "b": "adaptive_alpaca_farm",
        "c": "pid",
    }
    assert found["kl.controller.target"] == {"a": 4.0, "b": 6.0, "c": "-"}


def test_a_value_that_another_repeats_is_named_once(rundirs, tmp_path):
    for n in (2, 3):
        rundirs.make_run(
            tmp_path / f"n{n}",
            iterations=n,
            config={"ppo": {"iterations": n}, "other": {"iterations": n}},
        )
    assert list(differing(load(tmp_path))) == ["other.iterations"]


def test_one_run_is_named_by_its_coefficient(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "only", coef=0.05)
    assert [s.label for s in group(load(tmp_path))] == ["kl.coef=0.05"]


def test_rewards_come_in_a_fixed_order(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "r")
    import json

    summary = json.loads((run / "summary.json").read_text())
    rundirs.write(run / "summary.json", {"reward/alpha": 1.0, "reward/zeta": "nan", **summary})
    assert reward_keys(load(tmp_path)) == [
        "reward/proxy",
        "reward/gold",
        "reward/alpha",
        "reward/zeta",
    ]


def test_what_made_the_runs(rundirs, tmp_path):
    for seed, torch in enumerate(("2.12", "2.13")):
        run = rundirs.make_run(tmp_path / f"s{seed}", seed=seed)
        git = {"revision": "a" * 40, "dirty": bool(seed)}
        rundirs.write(
            run / "manifest.json", {"git": git, "versions": {"torch": torch, "python": "3.11"}}
        )
    rundirs.make_run(tmp_path / "lost", state="failed")
    runs = load(tmp_path)
    assert fingerprints(runs)["sft"] == ["s" * 8]
    assert revisions(manifests(runs)) == ["a" * 12, "a" * 12 + " with changes"]
    assert versions(manifests(runs)) == {"torch": ["2.12", "2.13"], "python": ["3.11"]}
    assert (shared(["x"]), shared(["x", "y"])) == ("one for all runs", "2 different")


@pytest.fixture
def two(rundirs, tmp_path):
    for sweep, coef in (("one", 0.1), ("two", 0.2)):
        rundirs.make_run(tmp_path / "sweeps" / sweep / "same", coef=coef)
    rundirs.make_run(tmp_path / "outputs" / "lone", coef=0.3)
    return tmp_path


def test_sweeps_and_runs_together(two):
    places = [
        two / "sweeps" / "one",
        two / "sweeps" / "two",
        two / "outputs" / "lone",
        two / "sweeps" / "one" / "same",
    ]
    runs = gather(places)
    assert [run.name for run in runs] == ["one/same", "two/same", "lone"]
    assert home(runs) == home(list(reversed(runs))) != home(runs[:2])


def test_from_the_command_line(two, monkeypatch, capsys):
    monkeypatch.chdir(two)
    assert main(["sweeps/one", "sweeps/two", "outputs/lone"]) == 0
    (made,) = (two / "outputs" / "comparisons").iterdir()
    assert (
        made.name.startswith("3-runs-")
        and "one/same" in (made / "runs.csv").read_text()
        and (made / "report.html").is_file()
    )
    assert main(["sweeps/one", "--into", "mine"]) == 0
    assert (two / "mine" / "report.html").is_file() and not (
        two / "sweeps" / "one" / "report.html"
    ).exists()
    capsys.readouterr()
    assert main(["sweeps/one", "sweeps/tow"]) == 2
    assert "Did you mean" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2


def test_as_many_folders_as_tell_runs_apart(rundirs, tmp_path):
    for place in ("a/sweeps/q/same", "b/sweeps/q/same", "b/sweeps/r/same", "b/sweeps/q/other"):
        rundirs.make_run(tmp_path / place)
    runs = gather(
        [
            tmp_path / "a" / "sweeps" / "q",
            tmp_path / "b" / "sweeps" / "q",
            tmp_path / "b" / "sweeps" / "r",
        ]
    )
    assert [run.name for run in runs] == ["a/sweeps/q/same", "other", "b/sweeps/q/same", "r/same"]


def test_what_an_older_config_could_not_say_is_no_difference(tmp_path):
    configs = {
        "before": "ppo: {iterations: 4, eval_every: 2}",
        "since": "algorithm: {_target_: rlhf.modules.ppo.PPOModule}\n"
        "advantage: {_target_: rlhf.modules.advantage.GAE}\n"
        "ppo: {iterations: 4}\nevaluation: {every: 2}",
    }
    for name, config in configs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(config)
    assert differing([load_run(tmp_path / name) for name in configs]) == {}


def test_all_legs_of_a_run_made_it():
    legs = [
        {"versions": {"torch": version}, "git": {"revision": letter * 40}}
        for version, letter in (("2.9.1", "a"), ("2.10.0", "b"))
    ]
    made = {**legs[0], "legs": legs}
    assert versions([made]) == {"torch": ["2.10.0", "2.9.1"]}
    assert revisions([made]) == ["a" * 12, "b" * 12]
    assert inexact([made, {**made, "exact_resume": True}]) == []
    assert inexact([{"legs": 5, "resumed_under_another": 5}]) == [] == revisions([{"legs": 5}])
    cut = {**made, "name": "run", "exact_resume": False}
    cut["resumed_under_another"] = ["torch (2.9.1, then 2.10.0)"]
    assert inexact([made, cut]) == [
        "run went on under another torch (2.9.1, then 2.10.0): its numbers may differ from those of"
        " a run that nobody stopped."
    ]
