"""The command whole: a finished run repeated, and what it says once something is no longer what
it was."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_json
from tests.commands.runs.test_run import TINY

ROOT = Path(__file__).parents[3]
PROBE = """
import sys
from rlhf.__main__ import main
try:
    code = main(["reproduce", *{arguments!r}])
except SystemExit as stop:
    code = stop.code
heavy = {{"torch", "transformers", "pytorch_lightning", "mlflow", "pandas", "sklearn"}}
heavy = (heavy | {{"altair", "vl_convert"}}) & set(sys.modules)
print("RESULT", code, sorted(heavy))
"""
WORDS = [
    "fine",
    "film",
    "with",
    "warm",
    "heart",
    "and",
    "good",
    "jokes",
    "but",
    "slow",
    "bad",
    "boring",
    "awful",
    "plot",
]


def content(directory):
    return {
        path: path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def record(home, name="run", n=1):
    return read_json(home / "outputs" / "reproduced" / f"{name}-{n}" / "reproduction.json")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "Exit codes: 0 bitwise equal"),
        (["sweeps/quikstart"], 2, "Did you mean sweeps/quickstart?"),
        (["sweeps"], 2, "holds 1 of them. Did you mean sweeps/quickstart?"),
        (["sweeps/quickstart", "--jobs", "0"], 2, "--jobs=0: expected a whole number >= 1"),
        (["0" * 32], 2, "there is no MLflow store at"),
        (["sweeps/quickstart/kl0"], 2, "no such key; did you mean ppo.iterations?"),
    ],
)
def test_answers_before_anything_heavy_is_imported(arguments, code, said, tmp_path):
    job = tmp_path / "sweeps" / "quickstart" / "kl0"
    job.mkdir(parents=True)
    write_json(job.parent / "sweep.json", {"jobs": [{"name": "kl0", "overrides": []}]})
    write_json(job / "manifest.json", {"kind": "run", "stage": "ppo", "hash_version": 2})
    (job / "config.yaml").write_text("data: {}\nppo: {iterations: 4, iteratons: 4}\n")
    probe = [sys.executable, "-c", PROBE.format(arguments=arguments)]
    done = subprocess.run(
        probe,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == f"RESULT {code} []", done.stderr
    assert said in done.stdout + done.stderr


def test_a_finished_run_is_bitwise_equal(run_in, reproduce, home):
    summary = run_in(home / "run")
    before = content(home / "run")
    code, said = reproduce("run")
    assert code == 0, said
    assert "differs  nothing" in said and "sft and reward_model trained again" in said
    metrics = {
        name
        for line in (home / "run" / "metrics.jsonl").read_text().splitlines()
        for name in json.loads(line)
    } - {"iteration"}
    assert (
        f"bitwise equal: 4 iterations, {len(metrics)} metrics, weights and samples; sft and"
        " reward_model too" in said
    )
    assert content(home / "run") == before
    found = record(home)
    assert (found["state"], found["equal"], found["differences"]) == ("done", True, [])
    assert [stage["stage"] for stage in found["jobs"][0]["stages"]] == [
        "sft",
        "reward_model",
        "ppo",
    ]
    assert found["jobs"][0]["stages"][2]["weights"]["now"] == summary["policy_sha256"]
    assert set(found["jobs"][0]["stages"][2]["metrics"]) == metrics
    new = home / "outputs" / "reproduced" / "run-1"
    stages = sorted(path.parts[-3] for path in (new / "artifacts").glob("*/*/manifest.json"))
    assert stages == ["ppo", "reward_model", "sft"]
    assert not (new / "tracking.json").exists() and not (home / "outputs" / "mlflow.db").exists()

    # a second one goes beside it, an occupied place is refused, and so is one inside the original
    assert reproduce("run", "--dry-run")[1].splitlines()[1] == "into     outputs/reproduced/run-2"
    assert not new.with_name("run-2").exists()
    for place, why in (
        (new, "holds a reproduction already"),
        (home / "run" / "again", "lies in the original"),
    ):
        code, said = reproduce("run", "--into", place)
        assert code == 2 and why in said


def test_a_changed_learning_rate_is_named_and_its_effect_measured(run_in, reproduce, home):
    run_in(home / "run")
    made = read_json(home / "run" / "manifest.json")
    made["config"]["ppo"]["optimizer"]["lr"] *= 10
    made["versions"]["torch"] = "0.1"
    made["git"] = {"revision": "f" * 40, "dirty": False}
    write_json(home / "run" / "manifest.json", made)
    code, said = reproduce("run", "--reuse-stages", "--into", "again", "--all")
    assert code == 1
    lines = [line.split() for line in said.splitlines()]
    assert [
        "config",
        "ppo.optimizer.lr",
        "0.0005",
        "0.005",
        "manifest.json",
        "was",
        "edited",
        "since",
        "the",
        "run",
    ] in lines
    assert any(line[:3] == ["package", "torch", "0.1"] for line in lines)
    assert any(line[:4] == ["code", "git", "revision", "f" * 12] for line in lines)
    assert "sft and reward_model taken over" in said
    for stage in ("sft", "reward_model"):
        (path,) = (home / "again" / "artifacts" / stage).iterdir()
        assert path.is_symlink()
    ppo = read_json(home / "again" / "reproduction.json")["jobs"][0]["stages"][2]
    assert (
        ppo["metrics"]["ppo/policy_loss"]["first"] == 1
        and ppo["metrics"]["ppo/policy_loss"]["max_abs"] > 0
    )
    assert (
        ppo["metrics"]["kl/coef"]["equal"]
        and not ppo["weights"]["equal"]
        and ppo["weights"]["max_abs"] > 0
    )
    assert any(line[:2] == ["ppo", "kl/coef"] and line[-1] == "equal" for line in lines)
    assert (
        any(line.startswith("not equal: ") for line in said.splitlines())
        and "from iteration 1; weights differ" in said
    )


def test_one_edited_row_is_named(run_in, reproduce, home):
    rows = [
        {"text": " ".join(WORDS[(i * 7 + j * (3 + i % 5)) % len(WORDS)] for j in range(6 + i % 4))}
        for i in range(60)
    ]
    pairs = [
        {"prompt": f"a {word}", "chosen": " good", "rejected": f" bad {word}"} for word in WORDS
    ]
    for name, each in (("demos", rows), ("pairs", pairs)):
        (home / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in each))
    files = ["data=jsonl", "data.demonstrations=demos.jsonl", "data.preferences=pairs.jsonl"]
    settings = ["data.vocabulary=300", "data.max_response_tokens=8", "data.heldout_fraction=0.2"]
    run_in(home / "run", *files, *settings, without="data.")
    code, said = reproduce("run", "--dry-run")
    assert code == 0 and "differs  nothing" in said

    pairs[3]["rejected"] += " indeed"
    (home / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    code, said = reproduce("run", "--dry-run", "--reuse-stages")
    lines = [line.split() for line in said.splitlines()]
    then = read_json(home / "run" / "manifest.json")["fingerprints"]["data"][:16]
    (data,) = (line for line in lines if line[:2] == ["data", "fingerprint"])
    assert data[2] == then != data[3] and " ".join(data[4:]).startswith(
        "preferences: 14 rows, other content"
    )
    assert not any(line[:2] == ["stage", "sft"] for line in lines) and any(
        line[:2] == ["stage", "reward_model"] for line in lines
    )
    assert "sft taken over, reward_model trained again" in said
    assert not (home / "outputs").exists()

    code, said = reproduce("run", "--reuse-stages")
    assert code == 1 and "not equal: " in said and "preferences: 14 rows, other content" in said

    (home / "pairs.jsonl").write_text("{}\n")
    code, said = reproduce("run")
    assert code == 2 and "pairs.jsonl:1:" in said


def test_a_run_that_was_cut_is_compared_as_far_as_it_goes(run_in, stop_at, reproduce, home):
    stop_at("ppo", 2, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(home / "run")
    code, said = reproduce("run", "--reuse-stages")
    assert code == 0
    assert "ppo run, stopped at iteration 2 of 4: what there is of it is compared" in said
    assert (
        "bitwise equal as far as the original goes (it was stopped at iteration 2): 2 iterations, "
        in said
    )


def test_a_command_that_was_stopped_goes_on(run_in, stop_at, reproduce, home):
    run_in(home / "run")
    stop_at("ppo", 2, signal.SIGINT)
    code, said = reproduce("run", "--reuse-stages")
    assert code == 130 and "the same command goes on from there" in said
    assert record(home)["state"] == "stopped"
    assert (
        len((home / "outputs" / "reproduced" / "run-1" / "metrics.jsonl").read_text().splitlines())
        == 3
    )
    assert "run-2" in reproduce("run", "--dry-run")[1]  # not the same command
    code, said = reproduce("run", "--reuse-stages")
    assert (
        code == 0
        and "run-1, where an earlier command was stopped" in said
        and "bitwise equal: 4 iterations" in said
    )


def test_a_run_that_fails_again(run_in, reproduce, home, monkeypatch):
    from rlhf.modules.algorithms.ppo import PPOModule

    run_in(home / "run")
    monkeypatch.setattr(PPOModule, "score", lambda self, rollout: 1 / 0)
    code, said = reproduce("run", "--reuse-stages")
    assert code == 1 and "the new run failed" in said
    assert record(home)["state"] == "failed"
    monkeypatch.undo()
    monkeypatch.chdir(home)
    code, said = reproduce("run", "--reuse-stages")
    assert code == 0 and "run-1, where" in said


def test_a_stage_and_a_run_of_one_stage(run_in, reproduce, home):
    run_in(home / "outputs" / "default" / "x", "stage=sft", "paths.artifacts=outputs/artifacts")
    (artifact,) = (
        path for path in (home / "outputs" / "artifacts" / "sft").iterdir() if path.is_dir()
    )
    for argument in (artifact, home / "outputs" / "default" / "x"):
        code, said = reproduce(argument)
        assert code == 0 and "bitwise equal: 2 epochs, 6 metrics and weights" in said, said
    assert (
        home
        / "outputs"
        / "reproduced"
        / f"sft-{artifact.name[:8]}-1"
        / "artifacts"
        / "sft"
        / artifact.name
    ).is_dir()
    code, said = reproduce(artifact.parent / "abc")
    assert code == 2 and f"Did you mean outputs/artifacts/sft/{artifact.name}" in said


def test_the_policy_of_a_run_is_reproduced_by_its_run(run_in, reproduce, home):
    summary = run_in(home / "run", "paths.artifacts=outputs/artifacts")
    policy = f"outputs/artifacts/ppo/{summary['fingerprints']['ppo']}"
    code, said = reproduce(policy)
    assert code == 2
    assert f"{policy} is the policy of a run; to reproduce it, name that: {home / 'run'}" in said


def test_a_run_of_before_is_refused_with_one_sentence(run_in, reproduce, home):
    """By the version of the hash that named it; also as the only job of a sweep. Beside others it
    is left out."""
    run_in(home / "sweeps" / "s" / "run")
    path = home / "sweeps" / "s" / "run" / "manifest.json"
    manifest = read_json(path)
    del manifest["hash_version"]
    write_json(path, {**manifest, "git": {"revision": "abc", "dirty": False}})
    write_json(home / "sweeps" / "s" / "sweep.json", {"jobs": [{"name": "run", "overrides": []}]})
    for argument in ("sweeps/s/run", "sweeps/s"):
        code, said = reproduce(argument)
        assert code == 2 and said == (
            "rlhf reproduce: sweeps/s/run was made before version 2 of the run hash (git revision"
            " abc): compare works; to go on with it or reproduce it, use that revision\n"
        )
    run_in(home / "sweeps" / "s" / "new")
    code, said = reproduce("sweeps/s", "--dry-run")
    assert code == 0 and "sweeps/s: sweep of 1 job, " in said
    assert "left out run: sweeps/s/run was made before version 2 of the run hash" in said


def test_a_reward_model_and_the_policy_that_it_stands_on(run_in, reproduce, home):
    run_in(
        home / "outputs" / "default" / "x",
        "stage=reward_model",
        "paths.artifacts=outputs/artifacts",
    )
    (artifact,) = (
        path
        for path in (home / "outputs" / "artifacts" / "reward_model").iterdir()
        if path.is_dir()
    )
    code, said = reproduce(artifact, "--dry-run")
    assert (
        code == 0
        and "reward_model stage, finished" in said
        and "stages   sft trained again" in said
    )
    assert not (home / "outputs" / "reproduced").exists()
    code, said = reproduce(artifact)
    assert code == 0 and "bitwise equal: 2 epochs, " in said and "and weights; sft too" in said, (
        said
    )
    made = read_json(artifact / "manifest.json")
    made["config"]["reward_model"]["optimizer"]["lr"] *= 10
    write_json(artifact / "manifest.json", made)
    code, said = reproduce(artifact, "--reuse-stages")
    assert (
        code == 1
        and "reward_model.optimizer.lr" in said
        and "not equal: " in said
        and "weights differ" in said
    )


def test_it_works_where_the_run_was_started_whoever_calls_from_where(
    run_in, reproduce, home, monkeypatch
):
    from rlhf.config.compose import compose

    name = "outputs/default/" + compose(["tracking=none"]).paths.run_name
    (home / "project").mkdir()
    monkeypatch.chdir(home / "project")
    run_in(home / "project" / name)
    monkeypatch.chdir(home)
    code, said = reproduce(f"project/{name}", "--dry-run")
    assert code == 0 and said.splitlines()[1].startswith("into     project/outputs/reproduced/")
    assert Path.cwd() == home


@pytest.mark.slow
def test_a_sweep(tmp_path, commands):
    place, into = tmp_path / "sweeps" / "s", tmp_path / "outputs" / "reproduced"
    done = commands.run(tmp_path, ["-m", *TINY, "kl.coef=0,0.1", "sweep=s"])
    assert done.code == 0, done.text
    before = content(place)
    jobs = read_json(place / "sweep.json")["jobs"]
    never = {"name": "never", "overrides": []}
    write_json(place / "sweep.json", {"overrides": ["kl.coef=0,0.1"], "jobs": [*jobs, never]})
    done = commands.run(tmp_path, ["reproduce", "sweeps/s", "--dry-run"])
    assert done.code == 0 and "of       sweeps/s: sweep of 2 jobs" in done.text, done.text
    assert "into     outputs/reproduced/s-1" in done.text and not into.exists()
    config = place / jobs[1]["name"] / "config.yaml"
    config.write_text(config.read_text().replace("coef: 0.1", "coef: 5.0"))
    done = commands.run(tmp_path, ["reproduce", "sweeps/s"])
    assert done.code == 1, done.text
    edited = f"config.yaml was edited since the run; 1 of 2 jobs: {jobs[1]['name']}"
    assert edited in done.text and "left out never" in done.text
    assert "not equal: 1 of 2 jobs differ; 1 job of it had not begun" in done.text
    new = into / "s-1"
    assert len(list((new / "artifacts" / "sft").glob("*/manifest.json"))) == 1
    equal, changed = (before[place / job["name"] / "metrics.jsonl"] for job in jobs)
    assert (new / jobs[0]["name"] / "metrics.jsonl").read_bytes() == equal
    assert (new / jobs[1]["name"] / "metrics.jsonl").read_bytes() != changed
    assert [one["equal"] for one in read_json(new / "reproduction.json")["jobs"]] == [True, False]
