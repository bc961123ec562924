"""Numbers worked by hand for a llama of h 4, i 8, 2 layers, 10 words, 380 parameters; and what was
measured."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.estimates import memory
from rlhf.estimates.memory import FACTOR, Rows
from rlhf.estimates.shape import shape_of
from tests.estimates.test_shape import SMOLLM2, TINY

SHAPE = shape_of(TINY)
# a forward pass keeps 2 (12 * 4 + 4 * 8) = 160 numbers a token
ROWS = Rows(count=3, tokens=5, response=2)


def sizes(peak):
    return {term.name: term.size for term in peak.terms}


def test_the_parts():
    assert memory.activations(SHAPE, ROWS) == 4 * 3 * 5 * 160
    assert memory.activations(SHAPE, ROWS, half=True) == 0.75 * 4 * 3 * 5 * 160
    assert memory.logits(SHAPE, ROWS, 4) == 4 * 4 * 3 * 2 * 10
    assert memory.cache(SHAPE, ROWS) == 4 * 3 * 5 * 2 * 8


def test_sft():
    peak = memory.sft(SHAPE, ROWS, moments=2)
    assert sizes(peak) == {
        "weights that are trained": 1520,
        "gradients": 1520,
        "the optimizer's moments": 3040,
        "activations": 9600,
        "logits": 960,
    }
    assert peak.size == 16_640
    assert [term.name for term in peak.largest(1)] == ["activations"]
    assert peak.largest(1)[0].settings == ("sft.batch_size", "sft.max_length")


def test_a_reward_model_reads_both_texts_of_a_pair():
    """19,200 bytes; drawing to normalise has its time when the update is over."""
    peak = memory.reward_model(SHAPE, ROWS, ROWS, moments=0)
    assert sizes(peak) == {
        "weights that are trained": 1520,
        "gradients": 1520,
        "the optimizer's moments": 0,
        "activations": 2 * 9600,
    }
    many = Rows(count=100, tokens=5, response=2)
    assert "keys and values" in sizes(memory.reward_model(SHAPE, ROWS, many, moments=0))


def test_what_is_not_trained_has_weights_alone():
    """A layer has (380 - 40) / 2 = 170 parameters. The head alone reads states of a backbone that
    keeps nothing: 4 * 3 * 5 * (4 * 4 + 3 * 8) bytes for 3 texts at once."""
    assert sizes(memory.sft(SHAPE, ROWS, moments=2, layers=1)) == {
        "weights that are trained": 4 * 170,
        "gradients": 4 * 170,
        "the optimizer's moments": 8 * 170,
        "weights that are frozen": 4 * 210,
        "activations": 4800,
        "logits": 960,
    }
    assert sizes(memory.reward_model(SHAPE, ROWS, None, moments=2, layers=0)) == {
        "weights that are trained": 0,
        "gradients": 0,
        "the optimizer's moments": 0,
        "weights that are frozen": 1520,
        "reading whole texts": 2400,
    }
    half = sizes(memory.reward_model(SHAPE, ROWS, None, moments=2, layers=1))
    assert (half["weights that are trained"], half["activations"]) == (4 * 170, 9600)


def test_ppo_has_four_networks():
    """Policy and value model are trained; the start and the reward model are frozen."""
    networks = {"reward_models": 1, "value_model": True, "references": 1, "moments": 2}
    peak = memory.ppo(SHAPE, update=ROWS, rollout=ROWS, evaluation=ROWS, **networks)
    assert sizes(peak) == {
        "weights that are trained": 3040,
        "gradients": 3040,
        "the optimizer's moments": 6080,
        "weights that are frozen": 3040,
        "activations": 2 * 9600,
        "logits": 960,
    }
    ensemble = {**networks, "reward_models": 3}
    peak = memory.ppo(SHAPE, update=ROWS, rollout=ROWS, evaluation=ROWS, **ensemble)
    assert sizes(peak)["weights that are frozen"] == 4 * 1520
    networks |= {"reward_models": 0, "value_model": False, "references": 2}
    peak = memory.ppo(SHAPE, update=ROWS, rollout=ROWS, evaluation=ROWS, **networks)
    assert sizes(peak)["weights that are frozen"] == 3040
    assert sizes(peak)["activations"] == 9600


def test_a_large_rollout_is_the_peak():
    """Its cache 4 * 1000 * 5 * 16 = 320,000 and a token's logits 5 * 4 * 1000 * 10 = 200,000."""
    networks = {"reward_models": 0, "value_model": False, "references": 1, "moments": 2}
    rollout = Rows(count=1000, tokens=5, response=2)
    peak = memory.ppo(SHAPE, update=ROWS, rollout=rollout, evaluation=ROWS, **networks)
    assert sizes(peak)["keys and values"] == 320_000
    assert sizes(peak)["logits of a token"] == 200_000
    prompt, response = "generation.max_prompt_tokens", "data.max_response_tokens"
    assert peak.largest(1)[0].settings == ("ppo.rollout_size", prompt, response)
    rollout = Rows(count=1000, tokens=5, response=3)
    peak = memory.ppo(SHAPE, update=ROWS, rollout=rollout, evaluation=ROWS, **networks)
    assert peak.largest(1)[0].settings == ("ppo.rollout_size", response)


# --- measured on a GPU (docs/gpu.md; benchmarks/gpu.py): batches of 64 rows of some 20 words,
# rollouts of 128 responses of 64 tokens to prompts of some 5, minibatches of 32

LARGER = {
    **SMOLLM2,
    "hidden_size": 960,
    "intermediate_size": 2560,
    "num_hidden_layers": 32,
    "num_attention_heads": 15,
    "num_key_value_heads": 5,
}


@pytest.mark.parametrize(
    ("config", "half", "sft", "reward_model", "ppo"),
    [
        (SMOLLM2, False, 5.1, 6.3, 13.9),
        (SMOLLM2, True, 4.6, 5.4, 12.3),
        (LARGER, False, 10.6, 13.0, 28.1),
    ],
)
def test_within_the_factor_of_what_a_gpu_had(config, half, sft, reward_model, ppo):
    shape = shape_of(config)
    rows = Rows(count=64, tokens=20, response=20)
    drawn = Rows(count=128, tokens=70, response=64)
    how = {"moments": 2, "half": half}
    peaks = {
        memory.sft(shape, rows, **how).size: sft,
        memory.reward_model(shape, rows, drawn, **how).size: reward_model,
        memory.ppo(
            shape,
            update=Rows(count=32, tokens=70, response=64),
            rollout=drawn,
            evaluation=drawn,
            references=1,
            reward_models=1,
            value_model=True,
            **how,
        ).size: ppo,
    }
    for estimated, measured in peaks.items():
        assert measured / FACTOR < estimated / 1e9 < measured * FACTOR


# --- and of a tiny run on this machine

PROGRAM = """
import re, sys
from pathlib import Path
import torch
import rlhf
import rlhf.runs.run
from rlhf.runs.run import run

def peak():  # of this program alone: ru_maxrss begins with the peak of the process that began it
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

torch.set_num_threads(1)
before = peak()
rlhf.run(rlhf.compose(sys.argv[1:]))
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's VmHWM")
def test_within_the_factor_of_a_run_on_a_cpu(tmp_path):
    """SFT of 3 million parameters on batches of 512 sentences: a gigabyte, most of it
    activations."""
    from rlhf.config.build import build
    from rlhf.config.compose import compose, validate
    from rlhf.data.collate import encode_demonstrations
    from rlhf.data.lengths import Limit
    from rlhf.data.records import Loaded
    from rlhf.estimates.plan import Estimate
    from rlhf.estimates.rows import DataSize, PartSize
    from rlhf.estimates.saved import shape_in
    from tests.turns import rendering

    words = [
        *("stage=sft", "model.hidden_size=256", "model.layers=4", "sft.batch_size=512"),
        *("data.demonstrations=800", "data.pairs=20", "data.prompts=64", "sft.epochs=1"),
        *("tracking=none", "callbacks=none", f"paths.outputs={tmp_path}"),
    ]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True
    )
    measured = int(run.stdout.split()[-1])
    cfg = validate(compose(words))
    source, data = Loaded.of(build(cfg.data))
    template = rendering(source.tokenizer(data))
    rows = encode_demonstrations(template, data.demonstrations.train, Limit(most=64))
    longest = max(len(row.ids) for row in rows)
    part = PartSize(train=len(rows), heldout=1, longest=3 * longest, mean=1.0)
    shape = shape_in(cfg)
    (peak,) = Estimate(cfg=cfg, shape=shape, data=DataSize(demonstrations=part)).peaks
    assert measured / FACTOR < peak.size < measured * FACTOR, (measured, peak)
