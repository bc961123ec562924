"""What only a CUDA device can show: `pytest -m gpu`. Elsewhere all of these are skipped (what can
be seen without one is in tests/test_devices.py)."""

from importlib.util import find_spec

import pytest
import torch

from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_jsonl

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
GPU = ("trainer=gpu", "trainer.threads=1")
LORA = ("model/adapter=lora",)
BITS = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
WAYS = {
    "32-true": (),
    "bf16-mixed": ("trainer.precision=bf16-mixed",),
    "bf16-true": ("trainer.precision=bf16-true",),
    "lora": LORA,
    "lora, bf16-mixed": (*LORA, "trainer.precision=bf16-mixed"),
    "plain steps": ("generation.graphs=false",),
    # moments of fewer than 4,096 numbers stay in 32 bits
    "8 bit moments": ("optimizer@ppo.optimizer=adamw_8bit", "model.hidden_size=64"),
}
CASES = [pytest.param(way, marks=[BITS] if "bit " in way else []) for way in WAYS]
FILES = ("metrics.jsonl", "samples.jsonl", "policy/model.safetensors")


@pytest.mark.parametrize("way", CASES)
def test_a_run_passes_and_begins_at_kl_zero(run_in, tmp_path, way):
    summary = run_in(tmp_path / "run", *GPU, *WAYS[way])
    start, first, *_, last = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert start["eval/kl/sequence_nats"] == start["eval/kl/sequence_nats_exact"] == 0.0
    if "kl/sequence_nats_exact" in first:  # in 16 bits the policy reads its rollout again
        assert first["kl/sequence_nats"] == first["kl/sequence_nats_exact"] == 0.0
    assert abs(first["kl/sequence_nats"]) < 1e-3
    assert last["eval/kl/sequence_nats_exact"] > 0.0 and last["rollout/logp_off"] == 0.0
    assert summary["kl/sequence_nats"] == summary["kl/sequence_nats"]  # a number


@pytest.mark.parametrize("way", CASES)
def test_a_run_that_was_stopped_ends_with_the_same_bytes(run_in, tmp_path, stop_at, way):
    words = (*GPU, *WAYS[way], "kl/reference=synced", "kl.reference.every=1")
    run_in(tmp_path / "whole", *words)
    stop_at("ppo", 2, 15)
    with pytest.raises(Stopped):
        run_in(tmp_path / "stopped", *words)
    run_in(tmp_path / "stopped", *words)
    for file in FILES:
        if (tmp_path / "whole" / file).exists():  # of adapters the policy is a folder of its own
            whole, stopped = (tmp_path / run / file for run in ("whole", "stopped"))
            assert whole.read_bytes() == stopped.read_bytes(), file


def test_the_numbers_are_those_of_the_cpu(run_in, tmp_path):
    """The responses are other ones, as CUDA draws other random numbers; what is learned before
    there are any agrees to rounding."""
    losses = []
    for name, words in (("cpu", ()), ("gpu", GPU)):
        summary = run_in(tmp_path / name, "stage=sft", *words)
        losses.append(summary["val/loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
