"""Runs whose roles are adapters beside one frozen network."""

import json

import pytest
import torch

from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json

LORA, HEAD = "model/adapter=lora", "model/adapter=head"


def rows(directory):
    return read_jsonl(directory / "metrics.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "head"])
@pytest.mark.parametrize("sharing", ["backbone", "separate"])
@pytest.mark.parametrize("sft", ["adapter", "all"])
def test_every_way_through_the_stages(run_in, tmp_path, adapter, sharing, sft):
    words = [f"model/adapter={adapter}", f"model/sharing={sharing}", f"sft.trained={sft}"]
    summary = run_in(tmp_path / "run", *words)
    assert summary["status"] == "finished"
    first = rows(tmp_path / "run")[0]
    assert first["eval/kl/sequence_nats"] == 0.0
    assert rows(tmp_path / "run")[-1]["eval/kl/sequence_nats"] != 0.0
