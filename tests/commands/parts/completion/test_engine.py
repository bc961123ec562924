"""What may stand at the end of a command line."""

import json
import subprocess
import sys
from os import scandir
from pathlib import Path

import pytest

from rlhf import commands
from rlhf.commands.parts import named
from rlhf.commands.parts.completion import places
from rlhf.commands.parts.completion.engine import complete, split
from rlhf.commands.setup.completion import main
from rlhf.inventory import take_inventory, walk
from tests.inventory.made import stages
from tests.plugins import write_distribution, write_package


def offered(line):
    return [candidate.text for candidate in complete(line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rlhf kl/contr", ["kl/controller="]),
        ("rlhf kl/controller=ad", ["kl/controller=adaptive", "kl/controller=adaptive_alpaca_farm"]),
        ("rlhf -m kl/controller=fixed,pi", ["kl/controller=fixed,pid"]),
        ("rlhf ppo.iter", ["ppo.iterations="]),
        ("rlhf +ppo.iter", ["+ppo.iterations="]),
        ("rlhf ppo.old_logp=", ["ppo.old_logp=recomputed", "ppo.old_logp=sampled"]),
        ("rlhf rerun=", ["rerun=false", "rerun=true"]),
        ("rlhf stage=p", ["stage=ppo"]),
        ("rlhf see", ["seed="]),
        ("rlhf kl/controller=linear kl.controller.f", ["kl.controller.final="]),
        ("rlhf kl/controller=linear kl.controller.k", []),
        ("rlhf sft.optimizer.l", ["sft.optimizer.lr="]),
        ("rlhf optimizer@sft", ["optimizer@sft.optimizer="]),
        ("rlhf optimizer@sft.optimizer=adamw_", ["optimizer@sft.optimizer=adamw_8bit"]),
        ("rlhf experiment=claims/k2", ["experiment=claims/k2_in_loss"]),
        ("rlhf hydra.launcher.grac", ["hydra.launcher.grace="]),
        ("rlhf ppo.iterations=", []),
        ("rlhf no_such.", []),
        ("rlhf export --wh", ["--what"]),
        ("rlhf export --what ", ["policy", "reward_model"]),
        ("rlhf export --what=po", ["--what=policy"]),
        ("rlhf --cfg ", ["all", "hydra", "job"]),
        ("rlhf doctor kl/contr", ["kl/controller="]),
        ("rlhf config kl/contr", ["kl/controller"]),
        ("rlhf config kl/controller=pi", ["kl/controller=pid"]),
        ("rlhf help reprod", ["reproduce"]),
        ("rlhf completion b", ["bash"]),
    ],
)
def test_offered(line, expected):
    assert offered(line) == expected


def test_the_first_word_may_be_a_subcommand():
    assert set(commands.names()) <= set(offered("rlhf "))
    assert not set(offered("rlhf compare ")) & set(commands.names())


def test_options_of_every_subcommand():
    """Those of its parser, and no others."""
    for name in commands.names():
        parser = commands.module(name)._parser()
        flags = {flag for flag in parser._option_string_actions if flag.startswith("--")}
        found = {text for text in offered(f"rlhf {name} --") if text.startswith("--")}
        assert found == flags | {"--version"}, name


def test_descriptions():
    (one,) = complete("rlhf kl/controller=pi")
    assert one.description.startswith("PID on log beta")
    (key,) = complete("rlhf ppo.iter")
    assert key.description.startswith("60  rounds of drawing")


def test_sweeps_runs_and_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "sweeps" / "quick" / "kl0.1"
    run.mkdir(parents=True)
    (run / "manifest.json").touch()
    (run.parent / "sweep.json").touch()
    assert "sweeps/quick/" in offered("rlhf compare ")
    (one,) = complete("rlhf compare sweeps/q")
    assert one == ("sweeps/quick/", "sweep")
    assert complete("rlhf export sweeps/quick/") == [("sweeps/quick/kl0.1/", "run")]
    (tmp_path / "prompts.jsonl").touch()
    assert offered("rlhf sample run --prompts pro") == ["prompts.jsonl"]
    assert offered("rlhf export run --to swe") == ["sweeps/"]


@pytest.fixture
def results(tmp_path, monkeypatch, rundirs):
    """A sweep with two jobs, one of them begun only; a path with a point; a run of a name that a
    job has, too; an artifact; a folder that is no run."""
    monkeypatch.chdir(tmp_path)
    sweep = tmp_path / "sweeps" / "klein"
    rundirs.make_run(sweep / "kl0.1-a")
    (sweep / "kl0.2-b").mkdir()
    (sweep / "kl0.2-b" / "status.json").write_text("{}")
    (sweep / "sweep.json").write_text(json.dumps({"jobs": [{"name": "kl0.9-x", "overrides": []}]}))
    path = rundirs.make_run(tmp_path / "outputs" / "deep" / "study" / "kl0.3-path")
    point = rundirs.make_run(path / "points" / "kl0.4-point")
    summary = json.loads((point / "summary.json").read_text())
    (point / "summary.json").write_text(
        json.dumps(summary | {"path": {"run": "kl0.3-path", "point": 0, "points": 2}})
    )
    rundirs.make_run(tmp_path / "outputs" / "unit" / "kl0.1-a")
    stages(tmp_path / "outputs" / "artifacts")
    (tmp_path / "outputs" / "unit" / "kl-plots").mkdir()
    return tmp_path


RUNS = ["kl0.2-b", "kl0.3-path", "kl0.4-point"]
TAKES = {
    **dict.fromkeys(("sample", "export", "realign"), (RUNS, [])),
    **dict.fromkeys(("reproduce", "compare", "select", "ui", "show"), (RUNS, ["klein"])),
    **dict.fromkeys(("list", "clean"), ([], [])),
}


@pytest.mark.parametrize(("name", "expected"), TAKES.items())
def test_names_of_runs_and_sweeps(results, name, expected):
    assert (offered(f"rlhf {name} kl0"), offered(f"rlhf {name} klei")) == expected
    assert {*expected[0], *expected[1]} <= {*offered(f"rlhf {name} ")}


def test_each_name_is_taken_and_says_where_it_lies(results):
    for name in offered("rlhf show kl"):  # show takes no settings
        assert named.place_of(name) != name
    assert complete("rlhf ui klei") == [("klein", "sweep in sweeps")]
    assert complete("rlhf sample kl0.2") == [("kl0.2-b", "run in sweeps/klein")]
    # which two have: a command would ask
    assert complete("rlhf sample kl0.1") == []
    every = [entry for entry in take_inventory().every_run() if entry.directory.is_dir()]
    points = [point.name for run in every for point in run.points]
    assert {run.name for run in every} - {"kl0.1-a"} | {*points} == {*RUNS}


def test_what_is_a_run_and_a_sweep_as_the_inventory_has_it():
    assert {*walk.LEFT} == places.RUNS
    assert {walk.SWEEP, walk.LAUNCHER} == places.SWEEPS
    assert {walk.STORE, *walk.FOREIGN} == places.NO_RUNS
    assert (walk.DEEP, (str(walk.OUTPUTS), str(walk.SWEEPS))) == (places.DEEP, places.ROOTS)


def test_five_hundred_runs_are_looked_at_in_a_moment(tmp_path, monkeypatch):
    """Each folder once: a file of each that is opened would be seen here."""
    monkeypatch.chdir(tmp_path)
    for sweep in range(5):
        for job in range(100):
            run = tmp_path / "sweeps" / f"s{sweep}" / f"kl{sweep}.{job}"
            (run / "checkpoints" / "more").mkdir(parents=True)
            (run / "manifest.json").touch()
        (run.parent / "sweep.json").touch()
    opened = []
    monkeypatch.setattr(places.os, "scandir", lambda at: opened.append(at) or scandir(at))
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("a file was opened"))
    assert len([*places.names("kl", sweeps=False)]) == 500
    assert len(opened) == 500 + 5 + 2  # and sweeps/, and outputs/, which is not there


def test_groups_of_ones_own(tmp_path):
    (tmp_path / "kl" / "controller").mkdir(parents=True)
    (tmp_path / "kl" / "controller" / "mine.yaml").write_text("# Mine\nspeed: 1\n")
    assert offered(f"rlhf --config-dir {tmp_path} kl/controller=mi") == ["kl/controller=mine"]
    assert offered(f"rlhf --config-dir={tmp_path} kl.controller.sp") == ["kl.controller.speed="]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rlhf ", ([], "")),
        ("rlhf a b", (["a"], "b")),
        ("A=1 .venv/bin/rlhf a ", (["a"], "")),
        ("rlhf 'a b' c='d e", (["a b"], "c=d e")),
        ('rlhf "a', ([], "a")),
    ],
)
def test_a_line_is_split_as_a_shell_does(line, expected):
    assert split(line) == expected


def test_bash_gets_what_stands_after_its_marks(capsys):
    assert main(["bash", "--line", "rlhf kl/controller=pi", " \t\n\"'@><=;|&(:"]) == 0
    assert capsys.readouterr().out == "pid\n"
    assert main(["zsh", "--line", "rlhf kl/controller=pi"]) == 0
    assert capsys.readouterr().out.startswith("kl/controller=pid\tPID on")


def test_groups_of_a_plugin(tmp_path, monkeypatch):
    write_package(tmp_path, "toys", {"conf/kl/controller/toy.yaml": "# A toy\nstep: 0.5\n"})
    write_distribution(tmp_path, "rlhf-toys", {"toy": "toys"})
    assert offered("rlhf kl/controller=to") == []
    monkeypatch.syspath_prepend(tmp_path)
    assert offered("rlhf kl/controller=to") == ["kl/controller=toy"]
    assert offered("rlhf config kl.controller.ste") == [
        "kl.controller.steered_by",
        "kl.controller.step",
    ]


def test_nothing_heavy_is_imported():
    lines = ["rlhf ", "rlhf sample kl", "rlhf ppo.aggregation=", "rlhf export --", "rlhf kl"]
    code = f"""
import sys
from rlhf.__main__ import main
for line in {lines!r}:
    assert main(["completion", "fish", "--line", line]) == 0
heavy = {{"torch", "pydantic", "hydra", "omegaconf", "rich", "mlflow", "numpy"}}
print("HEAVY", heavy & set(sys.modules))
"""
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.endswith("HEAVY set()\n"), done.stderr
