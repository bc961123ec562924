"""`make bench`: its commands are whole, and the benchmarks of commands run at toy size. No time is
asserted."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import comparing, start
from rlhf.commands.runs import run as cli

ROOT = Path(__file__).resolve().parents[2]
TOY = "data=micro model.hidden_size=16 model.layers=1 ppo.iterations=1 best_of_n.samples=0"
COMMANDS = re.findall(r"-m (benchmarks\.\w+)(.*)", (ROOT / "Makefile").read_text())


def test_commands_of_make_bench_ask_for_nothing_more():
    commands = [(name, words.split()) for name, words in COMMANDS if "$" not in words]
    several = [name for name, words in commands if name != "benchmarks.soak"]
    assert len(several) == len(set(several)) >= 6
    for name, words in commands:
        if name in several:
            assert vars(import_module(name).parser().parse_args(words))


def test_the_first_iteration_begins_after_the_evaluation_before_it(tmp_path):
    run = tmp_path / "outputs" / "study" / "kl0.1-fixed-seed0-00000000"
    run.mkdir(parents=True)
    rows = [{"iteration": i, "time": 100.0 + 10 * i, "seconds": 2.0} for i in range(2)]
    (run / "timings.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert start.started(tmp_path, "0.1") == 100.0


@pytest.mark.slow
def test_what_a_command_costs_is_measured(tmp_path, monkeypatch, capsys):
    words = [*TOY.split(), "sft.epochs=1", "reward_model.epochs=1", "tracking=none"]
    began = tmp_path / "start.json"
    monkeypatch.setattr(sys, "argv", ["start", "--turns", "1", "--json", str(began), *words])
    start.main()
    (turn,) = json.loads(began.read_text())["results"]
    assert 0 < turn["first iteration"] < turn["wall"] and turn["cpu"] > 0
    cost = tmp_path / "comparing.json"
    arguments = ["--runs", "4", "--turns", "1", "--json", str(cost)]
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 0
    (summary,) = tmp_path.glob("outputs/*/*/summary.json")
    monkeypatch.setattr(sys, "argv", ["comparing", str(summary.parent), *arguments])
    comparing.main()
    (measured,) = json.loads(cost.read_text())["results"]["4"]
    assert measured["cpu_s"] > 0 and measured["page_mb"] > 0
    assert "page, MB" in capsys.readouterr().out
