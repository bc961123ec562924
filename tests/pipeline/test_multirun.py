"""Hydra's other launchers: what they are given, and what stays true of a sweep whoever runs its jobs."""

import importlib
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf

from rlhf import cli
from rlhf.config.compose import compose, validate
from rlhf.config.plan import Plan, PlannedJob
from rlhf.config.session import conf_dir
from rlhf.pipeline.launcher import JobFailed
from rlhf.pipeline.multirun import _check_extra, hand_over
from rlhf.rundir.look import sweep_state

HERE = Path(__file__).parent
PLUGINS = {
    "joblib": ("hydra_joblib_launcher.config", "JobLibLauncherConf"),
    "submitit_local": ("hydra_submitit_launcher.config", "LocalQueueConf"),
    "submitit_slurm": ("hydra_submitit_launcher.config", "SlurmQueueConf"),
    "ray": ("hydra_ray_launcher._config", "RayLauncherConf"),
}
TINY = [
    "data=micro", "data.demonstrations=60", "data.pairs=30", "data.prompts=3", "model.hidden_size=16", "sft.epochs=1",
    "reward_model.epochs=1", "reward_model.normalize_samples=16", "ppo.iterations=2", "ppo.rollout_size=16", "ppo.minibatch_size=8",
    "ppo.eval_every=1", "ppo.eval_prompts=8", "ppo.checkpoint_every=1", "best_of_n.samples=0", "tracking=none",
]  # fmt: skip


def plugin(launcher):
    package, name = PLUGINS[launcher]
    return getattr(pytest.importorskip(f"hydra_plugins.{package}", reason=f"hydra/launcher={launcher} is an extra"), name)


@pytest.fixture(scope="module")
def found():
    jobs = [((f"seed={seed}",), validate(compose(["tracking=none", "sweep=s", f"seed={seed}"]))) for seed in (0, 1)]
    return Plan(sweep=True, name="s", jobs=[PlannedJob(own, cfg) for own, cfg in jobs])


def end(found, directory, index):
    place = directory / found.jobs[index].config.paths.run_name
    place.mkdir(parents=True)
    (place / "summary.json").write_text('{"status": "finished"}')


def handed_over(found, directory, go):
    out = io.StringIO()
    with redirect_stderr(out):
        code = hand_over(found, directory, ["seed=0,1"], go)
    return code, out.getvalue()


def test_how_jobs_ended_is_read_from_their_directories(found, tmp_path):
    place = tmp_path / "s"

    def go():
        assert json.loads((place / "launcher.json").read_text())["working"]
        assert [job.state for job in sweep_state(place).jobs] == ["waiting", "waiting"]
        end(found, place, 0)
        raise JobFailed("the second")

    code, said = handed_over(found, place, go)
    assert code == 1
    assert "1 finished, 1 not started" in said
    assert [job["overrides"] for job in json.loads((place / "sweep.json").read_text())["jobs"]] == [["seed=0"], ["seed=1"]]
    code, said = handed_over(found, place, lambda: end(found, place, 1))
    assert code == 0
    assert "1 finished before" in said
    assert handed_over(found, place, lambda: pytest.fail("nothing is missing"))[0] == 0


def test_a_launcher_that_gives_up_is_told(found, tmp_path):
    def go():
        raise RuntimeError("the cluster is gone")

    code, said = handed_over(found, tmp_path / "s", go)
    assert code == 1
    assert "the launcher gave up: RuntimeError: the cluster is gone" in said


def test_ctrl_c_ends_it(found, tmp_path):
    def go():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        handed_over(found, tmp_path / "s", go)
    assert stop.value.code == 130
    assert json.loads((tmp_path / "s" / "launcher.json").read_text())["working"] is False


def test_a_missing_extra_is_named():
    target = "hydra_plugins.hydra_joblib_launcher.there_is.None"
    parts = {"launcher": {"_target_": target}, "sweeper": {}, "runtime": {"choices": {"hydra/launcher": "joblib"}}}
    config = OmegaConf.create({"hydra": parts})
    if importlib.util.find_spec("hydra_plugins") is None:
        with pytest.raises(HydraException, match=r"hydra/launcher=joblib needs .*pip install 'rlhf\[joblib\]'"):
            _check_extra(config)
    config.hydra.launcher._target_ = "hydra_plugins.rlhf.LocalLauncher"
    _check_extra(config)


def test_settings_may_stand_after_an_option(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["kl.coef=abc", "--config-dir", str(tmp_path), "seed=x"]) == 2
    assert "2 things are wrong" in capsys.readouterr().err


@pytest.mark.parametrize("launcher", PLUGINS)
def test_our_file_sets_what_the_plugin_knows(launcher):
    known = set(OmegaConf.structured(plugin(launcher)))
    assert set(yaml.safe_load((conf_dir() / "hydra" / "launcher" / f"{launcher}.yaml").read_text())) <= known


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local", "ray"])
def test_six_jobs_of_which_four_break(launcher, tmp_path):
    """They share one SFT policy and one reward model, the two good ones finish, and the same command goes on."""
    if launcher in PLUGINS:
        plugin(launcher)
    (tmp_path / "my" / "kl" / "controller").mkdir(parents=True)
    (tmp_path / "my" / "kl" / "controller" / "breaks.yaml").write_text("_target_: breaks.Breaks\nhow: fine\n")
    env = {**os.environ, "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rlhf", "-m", *TINY, f"hydra/launcher={launcher}", "study=q", "--config-dir", "my"]
    command += ["--allow-targets", "breaks", "kl/controller=breaks", "kl.controller.how=fine,raise,kill", "seed=0,1"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 1, done.stderr
    (place,) = (tmp_path / "sweeps").iterdir()
    states = [(job.state, job.exit_code) for job in sweep_state(place).jobs]
    assert states == [("finished", 0)] * 2 + [("failed", 1)] * 2 + [("failed", -9)] * 2
    assert "ValueError: a bad day" in done.stderr
    assert (place / "report.md").exists()
    for stage in ("sft", "reward_model"):
        assert len(list((tmp_path / "outputs" / "artifacts" / stage).glob("*/manifest.json"))) == 1
    times = {path: path.stat().st_mtime_ns for path in place.glob("*/summary.json")}
    again = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=900)
    assert again.returncode == 1
    assert "2 finished before" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in place.glob("*/summary.json")} == times
