"""Hydra's other launchers: what they are given, and what stays true of a sweep whoever runs its
jobs."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from rlhf.commands.runs import run as cli
from rlhf.config.compose import compose, validate
from rlhf.config.plugins.folders import conf_dir
from rlhf.rundir.disk.owner import is_alive
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.status import sweep_jobs
from rlhf.sweeps.job import JobFailed
from rlhf.sweeps.multirun import job_task

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import jobs as targets  # noqa: E402

PLUGINS = {
    "joblib": ("hydra_joblib_launcher.config", "JobLibLauncherConf"),
    "submitit_local": ("hydra_submitit_launcher.config", "LocalQueueConf"),
    "submitit_slurm": ("hydra_submitit_launcher.config", "SlurmQueueConf"),
    "ray": ("hydra_ray_launcher._config", "RayLauncherConf"),
}
TINY = [
    "data=micro",
    "data.demonstrations=60",
    "data.pairs=30",
    "data.prompts=3",
    "model.hidden_size=16",
    "sft.epochs=1",
    "reward_model.epochs=1",
    "reward_model.normalize_samples=16",
    "ppo.iterations=2",
    "ppo.rollout_size=16",
    "ppo.minibatch_size=8",
    "evaluation.every=1",
    "evaluation.prompts=8",
    "ppo.checkpoint_every=1",
    "best_of_n.samples=0",
    "tracking=none",
]


def plugin(launcher):
    package, name = PLUGINS[launcher]
    return getattr(
        pytest.importorskip(
            f"hydra_plugins.{package}", reason=f"hydra/launcher={launcher} is an extra"
        ),
        name,
    )


def test_a_signal_for_one_job_alone_is_that_jobs_affair(tmp_path, monkeypatch):
    """As an exception that Hydra expects of a job: a SystemExit would end joblib's other jobs,
    and with `basic` the sweep."""
    monkeypatch.chdir(tmp_path)
    hydra_config = OmegaConf.create(
        {
            "runtime": {"cwd": str(tmp_path)},
            "overrides": {"task": []},
            "sweep": {"dir": str(tmp_path / "s")},
        }
    )
    with pytest.raises(JobFailed, match=r"stopped \(SIGTERM\)"):
        job_task(
            validate(compose(["tracking=none", "sweep=s"])),
            hydra_config,
            target=targets.end_by_sigterm,
        )


def test_settings_may_stand_after_an_option(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["kl.coef=abc", "--config-dir", str(tmp_path), "seed=x"]) == 2
    assert "2 things are wrong" in capsys.readouterr().err


@pytest.mark.parametrize("launcher", PLUGINS)
def test_our_file_sets_what_the_plugin_knows(launcher):
    known = set(OmegaConf.structured(plugin(launcher)))
    assert (
        set(yaml.safe_load((conf_dir() / "hydra" / "launcher" / f"{launcher}.yaml").read_text()))
        <= known
    )


@pytest.fixture
def words(tmp_path):
    """words(launcher, *overrides) -> those of a sweep's command, to be given in tmp_path."""
    (tmp_path / "my" / "kl" / "controller").mkdir(parents=True)
    (tmp_path / "my" / "kl" / "controller" / "breaks.yaml").write_text(
        "_target_: breaks.Breaks\nhow: fine\n"
    )

    def line(launcher, *overrides):
        if launcher in PLUGINS:
            plugin(launcher)
        where = [f"hydra/launcher={launcher}", "study=q", "--config-dir", "my"]
        return ["-m", *TINY, *where, *overrides]

    return line


ENV = {"PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}"}
LAUNCHERS = ["local", "joblib", "submitit_local", "ray"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", *LAUNCHERS])
def test_six_jobs_of_which_four_break(launcher, tmp_path, words, commands):
    """They share one SFT policy and one reward model, the good ones finish, in two batches, and
    the same command goes on."""
    broken = [
        "--allow-targets",
        "breaks",
        "kl/controller=breaks",
        "kl.controller.how=fine,good,raise,leave,kill,stop",
    ]
    line = words(launcher, *broken, "hydra.sweeper.max_batch_size=4")
    done = commands.run(tmp_path, line, environment=ENV)
    assert done.code == 1, done.text
    (place,) = (tmp_path / "sweeps").iterdir()
    states = [(job.state, job.exit_code) for job in sweep_jobs(place)]
    assert states == [("finished", 0)] * 2 + [("failed", 1)] * 2 + [
        ("failed", -9),
        ("stopped", 143),
    ]
    assert "ValueError: a bad day" in done.text
    assert "a part of the run ended its process (0)" in done.text
    assert (place / "report.md").exists()
    for stage in ("sft", "reward_model"):
        assert len(list((tmp_path / "outputs" / "artifacts" / stage).glob("*/manifest.json"))) == 1
    before = content(place)
    again = commands.run(tmp_path, line, environment=ENV)
    assert again.code == 1
    assert "2 finished before" in again.text
    assert content(place) == before


def content(place):
    """Of the finished jobs of a sweep: every file's bytes and time."""
    runs = [path.parent for path in place.glob("*/summary.json")]
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for run in runs
        for path in run.rglob("*")
        if path.is_file()
    }


def family(pid):
    """A process and all below it, from Linux's /proc."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def half_way(place):
    """Two jobs have finished and another is in the middle."""
    busy = [
        path
        for path in place.glob("*/metrics.jsonl")
        if not path.with_name("summary.json").exists()
    ]
    return len(list(place.glob("*/summary.json"))) >= 2 and any(
        len(path.read_text().splitlines()) >= 3 for path in busy
    )


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_parent_killed_half_way_and_the_same_command_again(launcher, tmp_path, words, commands):
    """At once: long jobs that outlived the parent are not doubled, what is finished is not
    touched, and no process stays for ever."""
    line = words(launcher, "ppo.iterations=6,40", "kl.coef=0,0.05,0.1", "sweep=s")
    place = tmp_path / "sweeps" / "s"
    parent = commands.start(tmp_path, line, environment=ENV)
    try:
        deadline = time.monotonic() + 240
        while not half_way(place):
            assert parent.code is None and time.monotonic() < deadline, parent.output.read_text()
            time.sleep(0.05)
        below = family(parent.process.pid)
    finally:
        parent.signal(signal.SIGKILL)
        parent.wait()
    before = content(place)
    assert len(before) > 2 * 8 and len(list(place.glob("*/summary.json"))) < 6
    again = commands.run(tmp_path, line, environment=ENV)
    assert again.code == 0, again.text
    assert [(job.state, job.exit_code) for job in sweep_jobs(place)] == [("finished", 0)] * 6
    after = content(place)
    assert {path: after[path] for path in before} == before
    found = sorted(
        [row["iteration"] for row in read_jsonl(metrics)]
        for metrics in place.glob("*/metrics.jsonl")
    )
    assert found == [list(range(7))] * 3 + [list(range(41))] * 3
    deadline = time.monotonic() + 30
    while left := {pid for pid in below if is_alive({"pid": pid})}:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
