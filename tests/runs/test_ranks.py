"""Runs on two processes of this machine, whole: what they give, and how they end."""

import math
import os
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from rlhf.rundir.errors import RunFailed, Stopped
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json
from tests.conftest import SMALL

pytestmark = pytest.mark.slow

TWO = ["trainer.strategy=ddp", "trainer.devices=2"]


def others():
    """The ranks above 0 that this process has started."""
    mine = psutil.Process().children(recursive=True)
    return [each for each in mine if "rlhf.stages.ranks.worker" in " ".join(each.cmdline())]


def at_work_in(folder):
    """The processes that were started there and live."""
    there = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder):
                there.append(process.cmdline())
    return there


@pytest.fixture
def at(monkeypatch):
    """at(stage, iteration, act): `act()` is called when that iteration has just been recorded."""
    from rlhf.callbacks import recorder

    original = recorder.write_status

    def arrange(stage, iteration, act):
        left = [act]

        def write(directory, **status):
            original(directory, **status)
            if left and (status.get("stage"), status.get("iteration")) == (stage, iteration):
                left.pop()()

        monkeypatch.setattr(recorder, "write_status", write)

    return arrange


def rows(directory):
    return read_jsonl(directory / "metrics.jsonl")


def close(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert math.isclose(one[name], other[name], rel_tol=1e-3, abs_tol=1e-3), name


def test_killed_resumed_on_one_and_on_two_it_gives_what_one_process_does(
    run_in, tmp_path, at, caplog
):
    kl = ["kl=ziegler", "kl.controller.horizon=100", "ppo.micro_batch_size=2", "ppo.iterations=6"]
    run_in(tmp_path / "one", *kl, f"paths.artifacts={tmp_path / 'a'}")
    two, own = tmp_path / "two", f"paths.artifacts={tmp_path / 'b'}"
    at("ppo", 2, lambda: others()[0].kill())
    with pytest.raises(RunFailed, match="rank 1 was ended by SIGKILL") as error:
        run_in(two, *kl, *TWO, own)
    assert "the same command goes on from there" in str(error.value)
    assert others() == []
    at("ppo", 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped) as stopped:
        run_in(two, *kl, own)
    assert stopped.value.exit_code == 143
    assert "another number of devices (2, then 1)" in caplog.text
    assert "Sums over rows are made in another order" in caplog.text
    at("ppo", 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped):
        run_in(two, *kl, *TWO, own)
    assert others() == [] and len(rows(two)) == 5
    summary = run_in(two, *kl, *TWO, own)
    for mine, alone in zip(rows(two), rows(tmp_path / "one"), strict=True):
        close(mine, alone)
    drawn = [
        [row["response"] for row in read_jsonl(d / "samples.jsonl")]
        for d in (two, tmp_path / "one")
    ]
    assert drawn[0] == drawn[1]
    manifest = read_json(two / "manifest.json")
    assert [leg["devices"] for leg in manifest["legs"]] == [2, 1, 2, 2]
    assert manifest["exact_resume"] is False and summary["exact_resume"] is False
    assert manifest["hash"] == read_json(tmp_path / "one" / "manifest.json")["hash"]


def test_two_ranks_give_the_same_bytes_again_cut_or_not(run_in, tmp_path, at):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_in(whole, *TWO)
    at("ppo", 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Stopped):
        run_in(cut, *TWO)
    run_in(cut, *TWO)
    for name in ("metrics.jsonl", "samples.jsonl", "policy/model.safetensors"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    assert read_json(cut / "manifest.json")["exact_resume"] is True


def test_a_rank_that_stands_still_ends_the_run_after_the_timeout(run_in, tmp_path, at):
    at("ppo", 1, lambda: others()[0].suspend())
    with pytest.raises(RunFailed, match="did not answer the others for 6 s"):
        run_in(
            tmp_path / "run",
            *("scorer=gold", "sft=none", "ppo.value_init=policy", "trainer.timeout=6s"),
            *TWO,
        )
    assert others() == []


SCORER = """
import torch

def score(responses):
    if torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
        raise ValueError("no worth today")
    return [float(len(text)) for text in responses]
"""

# no guard: a script that a start by `spawn` would run again
SCRIPT = """
import sys
import rlhf
print("once")
rlhf.run(rlhf.compose(sys.argv[1:]))
"""


def python(here, *words):
    environment = {
        **os.environ,
        "RLHF_ALLOW_TARGETS": "own_scorer",
        "PYTHONPATH": os.pathsep.join([str(here), *filter(None, sys.path)]),
    }
    return subprocess.run(
        [sys.executable, *words], cwd=here, env=environment, capture_output=True, text=True
    )


ALONE = ["sft=none", "ppo.value_init=policy", "ppo.iterations=1"]


def test_an_error_of_another_rank_is_on_the_screen_once(tmp_path):
    (tmp_path / "own_scorer.py").write_text(SCORER)
    own = ["scorer=function", "scorer.function=own_scorer.score"]
    done = python(tmp_path, "-m", "rlhf", *SMALL, *ALONE, *own, *TWO)
    assert done.returncode == 1
    screen = done.stdout + done.stderr
    assert screen.count("rank 1: ") == 1 and screen.count("no worth today") == 1
    assert "rank 1: " in screen.splitlines()[-1]
    assert "Connection closed" not in screen


def test_a_script_without_a_guard_is_not_run_again(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = python(tmp_path, "script.py", *SMALL, *ALONE, "scorer=gold", *TWO)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("once") == 1
    (metrics,) = tmp_path.glob("outputs/*/*/metrics.jsonl")
    assert [row["iteration"] for row in read_jsonl(metrics)] == [0, 1]


def test_two_jobs_of_a_sweep_each_on_two_ranks(tmp_path):
    done = python(
        *(tmp_path, "-m", "rlhf", "-m", *SMALL, *ALONE, "scorer=gold", *TWO, "kl.coef=0,0.1"),
        "hydra.launcher.jobs=2",
    )
    assert done.returncode == 0, done.stderr + done.stdout
    made = sorted(tmp_path.glob("sweeps/*/*/manifest.json"))
    assert [read_json(path)["legs"][0]["devices"] for path in made] == [2, 2]
    assert at_work_in(tmp_path) == []
