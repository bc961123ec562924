"""The scripts of benchmarks/ are run by hand: here only that what they import is still
there, and what smollm2.py makes of its numbers."""

import ast
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rlhf
from benchmarks import smollm2

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(BENCHMARKS.rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_exists(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    wanted = [
        (node.module, name.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rlhf"
        for name in node.names
    ]
    for module, name in wanted:
        there = hasattr(importlib.import_module(module), name)
        assert there or importlib.util.find_spec(f"{module}.{name}"), f"{module} has no {name}"


def test_the_page_on_the_benchmarks_names_each_of_them():
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    files = [path.name for path in BENCHMARKS.glob("[!_]*.py")]
    folders = [path.name for path in BENCHMARKS.iterdir() if path.is_dir() and path.name[0] != "_"]
    assert len(files) > 20 and len(folders) > 7
    for name in files:
        assert f"`{name}`" in page or f"`{name.removesuffix('.py')}`" in page, name
    for name in folders:
        assert f"`{name}`" in page or f"`{name}/`" in page, name


def test_every_prompt_held_out_once(capsys):
    """Of prompt a the judge gets 1 of 2 and the baseline 2, of b 1 and 0 of 1: 2/3 of the pairs
    each, and per prompt -0.5 and +1, whose mean is 0.25 and its error 1.5 / sqrt(2) / sqrt(2)."""
    right = {
        smollm2.BASELINE: np.array([True, True, False]),
        smollm2.HEAD: np.array([True, False, True]),
    }
    smollm2.show_folds(["a", "a", "b"], right)
    printed = capsys.readouterr().out
    assert "Each of 2 prompts held out once, 3 pairs" in printed
    head = "| 0.667 | 0.750 ± 0.250 | +0.250 ± 0.750 | 1, 1 |"
    assert f"| {smollm2.HEAD} {head}" in printed
    assert f"| {smollm2.BASELINE} | 0.667 | 0.500 ± 0.500 | +0.000 ± 0.000 | 0, 0 |" in printed


def test_the_gain_is_of_each_prompt(tmp_path):
    """Prompts gain 1 and 3: 2, and sqrt(2) / sqrt(2) of error."""
    kept = {"prompts": "ab", "responses": [1, 1]}
    rows = [
        {"iteration": i, **kept, "reward/vader": rewards}
        for i, rewards in enumerate([[0, 1], [9, 9], [1, 4]])
    ]
    (tmp_path / "by_prompt.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert smollm2.gain_of(tmp_path, "reward/vader") == "+2.00 ± 1.00"


TOY_PARTS = ("1b, LoRA, bf16 backbone", "1b, all weights, bf16-true")


@pytest.mark.slow
def test_what_is_prepared_for_a_gpu_goes_through_at_toy_size(tmp_path):
    """Two parts, a table of numbers each."""
    script, work = str(BENCHMARKS / "gpu.py"), tmp_path / "work"
    command = [sys.executable, script, "--device", "cpu", "--toy", "--work", str(work)]
    paths = {"PYTHONPATH": str(BENCHMARKS.parent)}
    ended = subprocess.run(
        [*command, "--only", *TOY_PARTS],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **paths},
    )
    assert ended.returncode == 0, ended.stderr
    text = (work / "results.md").read_text(encoding="utf-8")
    assert ended.stdout.endswith(text) and text.startswith("CPU")
    parts = dict(part.split(" | |\n", 1) for part in text.split("| ", 1)[1].split("\n\n| "))
    assert set(parts) == set(TOY_PARTS)
    for numbers in parts.values():
        assert "| first KL | 0 |" in numbers and "| samples/s | " in numbers, numbers


def test_the_parts_for_a_gpu_are_commands_that_compose():
    """Their words are those of the config of now, so that no minute of a GPU is lost to one."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import gpu_parts
    finally:
        sys.path.remove(str(BENCHMARKS))
    small = ["model=hf", "model.path=none", *gpu_parts.SHORT, *gpu_parts.TOY]
    for precision in gpu_parts.PRECISIONS:
        assert rlhf.compose([*small, f"trainer.precision={precision}"])


def test_the_peak_is_the_process_own():
    """getrusage would tell the peak of the process that started this one."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import gpu_parts
    finally:
        sys.path.remove(str(BENCHMARKS))
    gpu_parts.forget_peak("cpu")
    before = gpu_parts.peak_gb("cpu")
    assert len(bytearray(300_000_000)) and gpu_parts.peak_gb("cpu") > before + 0.25
    gpu_parts.forget_peak("cpu")
    assert gpu_parts.peak_gb("cpu") < before + 0.1
