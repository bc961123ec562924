"""Pieces of an installed package, used as ours are: without --config-dir and --allow-targets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.rundir.files import read_jsonl
from tests.conftest import SMALL
from tests.plugins import EXAMPLE, write_distribution, write_package

SCORER = """
import torch

from rlhf.rollout.score import Scorer


class Short(Scorer):
    needs_reward_model = False

    def score(self, responses):
        return -torch.tensor([float(len(text)) for text in responses.texts])
"""
SOURCE = """
from rlhf.data.sources.micro import Micro


class Letters(Micro):
    def __init__(self, letters, max_response_tokens):
        super().__init__(seed=5, vocabulary=letters, prompts=4, demonstrations=64, pairs=48,
                         label_temperature=1.0, max_response_tokens=max_response_tokens)
"""
LAUNCHER = """
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher


class InTurn(BasicLauncher):
    def launch(self, job_overrides, initial_job_idx):
        Path("launched.txt").write_text(str(len(job_overrides)))
        return super().launch(job_overrides, initial_job_idx)
"""
FILES = {
    "pieces/scorer.py": SCORER,
    "pieces/source.py": SOURCE,
    "pieces/__init__.py": "",
    "conf/scorer/short.yaml": "_target_: toys.pieces.scorer.Short\n",
    "conf/data/letters.yaml": (
        "_target_: toys.pieces.source.Letters\nletters: 3\nmax_response_tokens: 4\n"
    ),
    "conf/hydra/launcher/in_turn.yaml": "_target_: hydra_plugins.in_turn.InTurn\n",
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Two installed distributions: the example's controller, and pieces of other groups."""
    place = tmp_path / "site"
    write_package(place, "toys", FILES)
    write_package(place, "hydra_plugins", {"in_turn.py": LAUNCHER})
    (place / "hydra_plugins" / "__init__.py").unlink()  # Hydra's namespace
    write_distribution(place, "rlhf-toys", {"toys": "toys"})
    (place / "rlhf_deadband").symlink_to(EXAMPLE / "rlhf_deadband")
    write_distribution(place, "rlhf-deadband", {"deadband": "rlhf_deadband"}, version="0.1.0")
    monkeypatch.syspath_prepend(place)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLHF_ALLOW_TARGETS", raising=False)
    yield place
    for name in [n for n in sys.modules if n.partition(".")[0] in ("toys", "rlhf_deadband")]:
        del sys.modules[name]


@pytest.fixture
def broken(site):
    write_package(site, "wrong", {"conf/kl/controller/pid.yaml": "_target_: wrong.PID\n"})
    write_distribution(site, "rlhf-wrong", {"wrong": "wrong"})
    return site / "wrong" / "conf" / "kl" / "controller" / "pid.yaml"


LINES = [line for line in SMALL if not line.startswith("data.")]
CHOSEN = ["data=letters", "scorer=short", "ppo.value_init=policy", "kl/controller=deadband"]
DEADBAND = ["kl.coef=0.1", "kl.controller.target=1000", "kl.controller.factor=2"]


def test_a_run_of_them_all(site, tmp_path):
    """The coefficient is halved after each rollout far below its target, and the run says whose
    pieces it had."""
    from rlhf.config.compose import compose, validate
    from rlhf.reproduce.differences import packages
    from rlhf.runs.run import run
    from rlhf.stages.provenance import manifest

    manifest.versions.cache_clear()
    cfg = validate(compose([*LINES, *CHOSEN, *DEADBAND, f"paths.artifacts={tmp_path / 'a'}"]))
    summary = run(cfg, directory=tmp_path / "run")
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert [row["kl/coef"] for row in rows[1:]] == [0.1, 0.05, 0.025, 0.0125]
    assert summary["kl.controller"] == "deadband" and rows[-1]["eval/ppo/score"] <= 0
    kept = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert kept["versions"]["rlhf-deadband"] == "0.1.0"
    assert packages(kept) == []
    write_distribution(site, "rlhf-later", {"later": "toys"})  # it was not there then
    manifest.versions.cache_clear()
    assert packages({"versions": {**kept["versions"], "rlhf-deadband": "0.0.9"}})[0].now == "0.1.0"
    manifest.versions.cache_clear()


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("kl.controller.factor=0.5", "factor must be above 1, got 0.5"),
        ("kl.coef=0", "it multiplies"),
        ("kl.controller.target=-1", "target must be a finite number above 0"),
    ],
)
def test_judged_by_the_same_rules(value, fault, site):
    from rlhf.config.compose import ConfigError, compose, validate

    with pytest.raises(ConfigError) as refused:
        validate(compose(["kl/controller=deadband", "kl.coef=0.1", value]))
    assert fault in str(refused.value)


def test_the_examples_controller(site):
    """Worked by hand: the band around 6 nats goes from 4.8 to 7.2."""
    from rlhf_deadband.controller import DeadBand

    controller = DeadBand(coef=0.1, target=6.0, width=0.2, factor=2.0)
    for kl, coef in ((6.0, 0.1), (7.1, 0.1), (7.3, 0.2), (4.9, 0.2), (4.7, 0.1)):
        controller.update(kl, episodes=64)
        assert controller.coef == coef
    other = DeadBand(coef=1.0, target=6.0, width=0.2, factor=2.0)
    other.load_state_dict(controller.state_dict())
    assert other.coef == 0.1


def test_version_lists_them(site, broken, capsys):
    from rlhf.__main__ import main

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "plugin deadband of rlhf-deadband 0.1.0",
        "plugin toys of rlhf-toys 1.0",
    ]


def test_doctor_tells_the_broken_from_the_others(site, broken, capsys):
    from rlhf.__main__ import main

    assert main(["doctor", "kl/controller=deadband", "kl.coef=0.1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    faults = {each["distribution"]: each["fault"] for each in report["plugins"]}
    assert faults["rlhf-deadband"] is None and faults["rlhf-toys"] is None
    assert str(broken) in faults["rlhf-wrong"] and "/conf/kl/controller/pid.yaml" in str(broken)
    assert len([line for line in report["command"]["warnings"] if "rlhf-wrong" in line]) == 1
    main(["doctor"])
    shown = capsys.readouterr().out
    assert "deadband of rlhf-deadband 0.1.0" in shown and "left out" in shown


def test_a_broken_one_is_told_and_ours_is_used(site, broken, capsys):
    """Its name is taken: --cfg shows our class, and says why on stderr, where it is in nobody's
    way."""
    from rlhf.__main__ import main

    words = ["--cfg", "job", "--package", "kl.controller", "kl/controller=pid"]
    assert main(words) == 0
    streams = capsys.readouterr()
    assert "_target_: rlhf.kl.controller.PID" in streams.out
    warnings = [line for line in streams.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and "plugin wrong of rlhf-wrong 1.0 is left out" in warnings[0]


def test_a_refused_command_says_which_plugin_was_left_out(site, capsys):
    from rlhf.__main__ import main

    write_package(site, "late", {"conf/kl/controller/late.yaml": "_target_: late.Late\n"})
    write_distribution(site, "rlhf-late", {"late": "late", "other": "gone"})
    (site / "late" / "__init__.py").write_text("")
    assert main(["kl/controller=other"]) == 2
    error = capsys.readouterr().err
    assert (
        "warning: the plugin other of rlhf-late 1.0 is left out: there is no module gone" in error
    )
    assert "no such option; kl/controller has" in error and "late" in error


def test_help_and_cfg_know_them(site, capsys):
    """Hydra's own commands, which have a search path of their own; twice in a process."""
    from rlhf.__main__ import main

    for _ in range(2):
        words = ["--cfg", "job", "--package", "kl.controller", "kl/controller=deadband"]
        assert main(words) == 0
        assert "factor: 1.1" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):  # Hydra ends the process
        main(["--help", "kl=instructgpt"])
    assert "deadband" in capsys.readouterr().out


def test_the_question_of_its_experiment(site):
    from rlhf.config.titles import question

    assert question(["experiment=deadband"]).startswith("Does a coefficient that rests")


def test_every_yaml_of_the_example_is_right(site):
    from rlhf.config.composition.plan import plan
    from rlhf.config.composition.session import session

    with session() as hydra:
        planned = plan(hydra, ["experiment=deadband"])
    assert planned.faults == [] and len(planned.jobs) == 4


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["local", "in_turn"])
def test_jobs_of_a_sweep_see_them(launcher, site, tmp_path):
    """Forked from the warm server, and by a launcher that a plugin brings."""
    words = ["-m", *LINES, *CHOSEN, "kl.coef=0.1,0.2", "sweep=s", "ppo.iterations=1"]
    environment = {**os.environ, "PYTHONPATH": f"{site}:{Path(__file__).parents[1]}"}
    command = [sys.executable, "-m", "rlhf", *words, f"hydra/launcher={launcher}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list((tmp_path / "sweeps" / "s").glob("*/summary.json"))) == 2
    assert (tmp_path / "launched.txt").exists() == (launcher == "in_turn")


@pytest.mark.slow
def test_the_example_installs_as_pip_does_it(tmp_path):
    """Built by its own pyproject.toml: the wheel has the YAMLs and the entry point."""
    flags = ["--no-deps", "--no-build-isolation", "-q", "--target", str(tmp_path / "site")]
    command = [sys.executable, "-m", "pip", "install", *flags, str(EXAMPLE)]
    subprocess.run(command, check=True, timeout=300)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path / 'site'}:{Path(__file__).parents[1]}",
    }
    words = ["doctor", "experiment=deadband", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "rlhf", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [each["name"] for each in json.loads(done.stdout)["plugins"]] == ["deadband"]
