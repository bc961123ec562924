"""What the benchmark computes, and how it counts. No time is asserted."""

import json
import os
import sys

import pytest

from benchmarks.speed import commands
from benchmarks.speed.commands import Cost, cost_of
from benchmarks.sweep_cost import as_trl, parts, slower, stage_seconds


def test_a_run_of_trls_speed_by_hand():
    """20 of 50 s are PPO, which takes twice as long, 10 are SFT with 1.5: 100 CPU-s become
    100 (1 + 0.4 + 0.1)."""
    stages = {"ppo": 20.0, "sft": 10.0, "reward_model": 5.0}
    factors = {"ppo": 2.0, "sft": 1.5, "reward_model": 1.0}
    assert as_trl(Cost(cpu=100.0, wall=50.0), stages, factors) == pytest.approx(150.0)


def test_factors_are_those_of_the_case_next_to_the_quickstart():
    """PPO: the median of 4/2, 6/2 and 2/2. SFT: its best mode, 3/2. No reward model: 1."""

    def units(name, *numbers):
        return [{name: number} for number in numbers]

    quick = {"ours": units("total", 2, 2, 2), "trl": units("total", 4, 6, 2)}
    modes = {"packed": units("training", 5, 5), "padded": units("training", 3, 3)}
    results = {
        "ppo": {"full": {}, "quick": quick},
        "sft": {"ragged": {"ours": units("training", 2, 2), "trl": modes}},
    }
    assert slower(results) == {"ppo": 2.0, "sft": 1.5, "reward_model": 1.0}


def test_seconds_of_stages(tmp_path):
    artifacts = (("artifacts/sft/ab", 2), ("artifacts/reward_model/cd", 3))
    for place, seconds in (*artifacts, ("x/kl0", 4), ("../sweeps/s/kl0", 5)):
        folder = tmp_path / "outputs" / place
        folder.mkdir(parents=True)
        row = {"seconds": seconds, "cpu": seconds - 1}
        (folder / "timings.jsonl").write_text(f"{json.dumps(row)}\n" * 2)
    assert stage_seconds(tmp_path) == {"sft": 4, "reward_model": 6, "ppo": 18}
    assert parts(tmp_path, cpu=30.0) == {"sft": 2, "reward_model": 4, "ppo": 14, "else": 10}


@pytest.mark.skipif(sys.platform != "linux", reason="grandchildren are waited for on Linux only")
def test_what_a_command_leaves_behind_counts(tmp_path, monkeypatch):
    """The command ends at once; its child, which then has no parent, works for 0.3 CPU seconds."""
    package = tmp_path / "fake" / "rlhf"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    while time.process_time() < 0.3: pass\n"
        "    open('done', 'w').close()\n"
        "    os._exit(0)\n"
    )
    there = {**os.environ, "PYTHONPATH": str(package.parent)}
    monkeypatch.setattr(commands, "environment", lambda: there)
    cost = cost_of([], tmp_path / "work")
    assert (tmp_path / "work" / "done").exists() and cost.cpu >= 0.25
    (package / "__main__.py").write_text("raise SystemExit('no such thing')")
    with pytest.raises(SystemExit, match="no such thing"):
        cost_of([], tmp_path / "other")
