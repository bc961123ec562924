"""SIGKILL, for real: whole processes killed in SFT, in the reward model and three times in PPO,
and started again."""

import multiprocessing
import os
import signal
import time

import pytest

from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json
from tests.conftest import SMALL

OVERRIDES = [
    "sft.epochs=4",
    "reward_model.epochs=4",
    "ppo.iterations=9",
    "ppo.checkpoint_every=2",
    "kl/controller=pid",
    "kl.controller.target=0.1",
]


def child(directory, root, words):

    from rlhf.config.compose import compose, validate
    from rlhf.runs.run import run

    composed = compose([*SMALL, *OVERRIDES, *words, f"paths.artifacts={root / 'artifacts'}"])
    run(
        validate(composed),
        directory=directory,
    )


def start(directory, root, words=()):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rlhf.runs.preload"])
    process = context.Process(target=child, args=(directory, root, words))
    process.start()
    return process


def kill_at(process, pattern, lines, root):
    """SIGKILL as soon as a metrics file that matches has so many lines."""
    deadline = time.time() + 120
    while time.time() < deadline:
        found = [path for path in root.glob(pattern) if len(path.read_text().splitlines()) >= lines]
        if found:
            os.kill(process.pid, signal.SIGKILL)
            process.join(30)
            return
        assert process.exitcode is None, (
            f"the run ended ({process.exitcode}) before {pattern} had {lines} lines"
        )
        time.sleep(0.002)
    pytest.fail(f"{pattern} never had {lines} lines")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "weights"),
    [([], "model.safetensors"), (["model/adapter=lora"], "adapter_model.safetensors")],
)
def test_killed_anywhere_and_started_again_gives_the_same_bytes(tmp_path, words, weights):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for side in (whole, cut):
        side.mkdir()
    process = start(whole / "run", whole, words)
    process.join(180)
    assert process.exitcode == 0
    for pattern, lines in [
        ("artifacts/sft/*.work/metrics.jsonl", 2),
        ("artifacts/reward_model/*.work/metrics.jsonl", 3),
        ("run/metrics.jsonl", 2),
        ("run/metrics.jsonl", 5),
        ("run/metrics.jsonl", 8),
    ]:
        process = start(cut / "run", cut, words)
        kill_at(process, pattern, lines, cut)
        assert process.exitcode == -signal.SIGKILL and not (cut / "run" / "summary.json").exists()
    process = start(cut / "run", cut, words)
    process.join(180)
    assert process.exitcode == 0
    one, two = (read_json(side / "run" / "summary.json") for side in (whole, cut))
    assert (
        one["policy_sha256"] == two["policy_sha256"] and one["fingerprints"] == two["fingerprints"]
    )
    assert one["kl.coef_final"] == two["kl.coef_final"] != one["kl.coef"]
    assert (whole / "run" / "metrics.jsonl").read_bytes() == (
        cut / "run" / "metrics.jsonl"
    ).read_bytes()
    assert len(read_jsonl(cut / "run" / "metrics.jsonl")) == 10
    for stage in ("sft", "reward_model"):
        a, b = (side / "artifacts" / stage / one["fingerprints"][stage] for side in (whole, cut))
        for name in (weights, "metrics.jsonl"):
            assert (a / name).read_bytes() == (b / name).read_bytes()
