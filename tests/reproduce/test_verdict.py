"""What a stage that was made again comes to."""

import json

import torch
from safetensors.torch import save_file

from rlhf.reproduce.verdict import _stage


def place(folder, weights, rows=()):
    folder.mkdir()
    save_file({"w": torch.tensor([weights])}, folder / "model.safetensors")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(lines)
    return folder


def test_a_stage_that_was_given_is_its_weights(tmp_path):
    then, now = place(tmp_path / "a", 1.0), place(tmp_path / "b", 1.0)
    other = place(tmp_path / "c", 2.0)
    same = _stage("sft", then, now)
    assert (same.note, same.equal) == ("not trained", True)
    assert not _stage("sft", then, other).equal


def test_a_stage_that_lost_its_rows_is_another_thing(tmp_path):
    then = place(tmp_path / "a", 1.0, [{"iteration": 0, "val/perplexity": 2.0}])
    lost = _stage("sft", then, place(tmp_path / "b", 1.0))
    assert lost.note == "no epoch that both have" and lost.missing == (0,)
