import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlhf.commands import run as cli

ROOT = Path(__file__).parents[2]
TINY = [
    "data=micro",
    "data.demonstrations=60",
    "data.pairs=30",
    "data.prompts=3",
    "model.hidden_size=16",
    "sft.epochs=1",
    "reward_model.epochs=1",
]
TINY += [
    "reward_model.normalize_samples=16",
    "ppo.iterations=2",
    "ppo.rollout_size=16",
    "ppo.minibatch_size=8",
    "evaluation.every=1",
]
TINY += ["evaluation.prompts=8", "ppo.checkpoint_every=1", "tracking=none"]

PROBE = """
import sys, time
sys.argv = ["rlhf", *{arguments!r}]
from rlhf.commands.run import main
try:
    code = main()
except SystemExit as stop:
    code = stop.code
heavy = {{"torch", "transformers", "pytorch_lightning", "mlflow", "pandas", "sklearn"}}
heavy = (heavy | {{"matplotlib"}}) & set(sys.modules)
print("RESULT", code, sorted(heavy), time.process_time())
"""


def rlhf(*arguments, cwd, **environment):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", "rlhf", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "kl/controller: adaptive, adaptive_alpaca_farm"),
        (["--cfg", "job"], 0, "coef: 0.05"),
        (["kl.coef=abc", "kl/controller=adaptve"], 2, "2 things are wrong"),
        (["-m", "kl.coef=0,abc"], 2, "kl.coef=abc: expected a number >= 0  [1 of 2 jobs"),
    ],
)
def test_answers_before_anything_heavy_is_imported(arguments, code, said, tmp_path):
    probe = [sys.executable, "-c", PROBE.format(arguments=arguments)]
    done = subprocess.run(
        probe,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    result = done.stdout.splitlines()[-1].split(maxsplit=2)
    assert (result[1], result[2].split("]")[0]) == (str(code), "[")
    assert said in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--kl.coef=1"],
            "--kl.coef=1: no such option; a setting is written without dashes, key=value",
        ),
        (["--experimental-rerun", "job.pickle"], "not offered"),
        (["--config-dir", "nowhere"], "--config-dir=nowhere: no such folder"),
        (["--lr=1", "modle=hf"], "2 things are wrong"),
        (["data=jsonl", "data.demonstrations=nowhere.jsonl", "data.gold=vader"], "nowhere.jsonl"),
    ],
)
def test_refused_with_exit_code_2(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rlhf ")


@pytest.mark.parametrize(
    "words", [["--allow-targets=scorers_of_mine"], ["--allow-targets", "scorers_of_mine"]]
)
def test_allowing_a_package(words, monkeypatch, capsys, tmp_path):
    (tmp_path / "scorers_of_mine.py").write_text("class Scorer: needs_reward_model = False")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "yours")
    line = "scorer._target_=scorers_of_mine.Scorer"
    assert cli.main([line, "kl.coef=abc"]) == 2
    assert "scorers_of_mine.Scorer is not an allowed class" in capsys.readouterr().err
    assert cli.main([*words, line, "kl.coef=abc"]) == 2
    assert "scorers_of_mine.Scorer" not in capsys.readouterr().err
    assert os.environ["RLHF_ALLOW_TARGETS"] == "yours,scorers_of_mine"


def test_shell_completion(tmp_path):
    done = rlhf(
        "-sc", "query=bash", cwd=tmp_path, COMP_LINE="rlhf kl/controller=ad", COMP_POINT="21"
    )
    assert "kl/controller=adaptive" in done.stdout


@pytest.mark.slow
def test_one_run_then_finished_then_another(tmp_path):
    first = rlhf(*TINY, "kl.coef=0.1", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (directory,) = (tmp_path / "outputs" / "default").iterdir()
    assert directory.name.startswith("kl0.1-fixed-seed0-")
    assert "summary.json" in first.stdout
    summary = directory / "summary.json"
    before = summary.stat().st_mtime_ns
    again = rlhf(*TINY, "kl.coef=0.1", cwd=tmp_path)
    assert again.returncode == 0
    assert "finished before; rerun=true starts another" in again.stderr
    assert summary.stat().st_mtime_ns == before
    rerun = rlhf(*TINY, "kl.coef=0.1", "rerun=true", cwd=tmp_path)
    assert rerun.returncode == 0, rerun.stderr
    other = directory.with_name(f"{directory.name}-rerun1")
    assert (other / "metrics.jsonl").read_bytes() == (directory / "metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_a_sweep_from_the_command_line(tmp_path):
    done = rlhf("-m", *TINY, "kl.coef=0,0.1", "sweep=s", "hydra.launcher.jobs=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "sweeps" / "s" / "sweep.json").read_text())
    assert len(written["jobs"]) == 2
    for job in written["jobs"]:
        summary = json.loads((tmp_path / "sweeps" / "s" / job["name"] / "summary.json").read_text())
        assert (summary["status"], summary["sweep"]) == ("finished", "s")
    assert (tmp_path / "sweeps" / "s" / "runs.csv").exists()
    assert len(list((tmp_path / "outputs" / "artifacts" / "sft").glob("*/manifest.json"))) == 1
    more = rlhf("-m", *TINY, "kl.coef=0,0.1,0.2", "sweep=s", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert "2 finished before" in more.stderr


@pytest.mark.slow
def test_other_launchers_work_too(tmp_path):
    done = rlhf("-m", *TINY, "hydra/launcher=basic", "kl.coef=0,0.1", "sweep=s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "sweeps" / "s").glob("kl*/summary.json"))) == 2


@pytest.mark.slow
def test_from_python_it_is_the_same_run(tmp_path, monkeypatch):
    import rlhf as package

    monkeypatch.chdir(tmp_path)
    summary = package.run(package.compose([*TINY, "callbacks=none"]))
    assert summary["status"] == "finished"
    again = package.run(package.compose([*TINY, "callbacks=none"]))
    assert again == summary


def wait_until(true, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lines(path):
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_cut_sweep_goes_on_to_the_same_numbers(number, code, tmp_path):
    """Cut in the middle of PPO by a signal to the parent, started again, compared with one that
    was never cut."""
    command = [
        sys.executable,
        "-m",
        "rlhf",
        "-m",
        *TINY,
        "ppo.iterations=12",
        "kl/controller=adaptive",
        "seed=0,1",
        "sweep=s",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    sweep = tmp_path / "sweeps" / "s"
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as parent:
        wait_until(
            lambda: (
                parent.poll() is not None
                or any(lines(path) >= 4 for path in sweep.glob("*/metrics.jsonl"))
            )
        )
        parent.send_signal(number)
        assert parent.wait(60) == code
    (begun,) = (path.parent for path in sweep.glob("*/metrics.jsonl"))
    wait_until(lambda: json.loads((begun / "status.json").read_text())["state"] == "stopped")
    assert not (begun / "summary.json").exists()
    done = rlhf(*command[3:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole = rlhf(*command[3:], "paths.sweeps=whole", "hydra.launcher.jobs=2", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    names = [job["name"] for job in json.loads((sweep / "sweep.json").read_text())["jobs"]]
    assert len(names) == 2
    for name in names:
        assert (sweep / name / "metrics.jsonl").read_bytes() == (
            tmp_path / "whole" / "s" / name / "metrics.jsonl"
        ).read_bytes()


def test_a_run_with_a_piece_of_ones_own_goes_where_the_command_says(tmp_path, monkeypatch, capsys):
    """The run composes anew, without Hydra's node: it names the piece by its YAML all the same."""
    (tmp_path / "my" / "kl" / "controller").mkdir(parents=True)
    (tmp_path / "my" / "kl" / "controller" / "calm.yaml").write_text("_target_: calmness.Calm\n")
    (tmp_path / "calmness.py").write_text(
        "from rlhf.kl.controller import Fixed\n\n\nclass Calm(Fixed):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    directories = []

    def execute(cfg, *, directory, log):
        directories.append(directory)
        return 1

    monkeypatch.setattr("rlhf.runs.execute.execute", execute)
    own = ["--config-dir", "my", "--allow-targets", "calmness", "kl/controller=calm"]
    assert cli.main([*own, *TINY]) == 1
    assert "-calm-" in directories[0].name
    assert f"run in {directories[0]}" in capsys.readouterr().err
