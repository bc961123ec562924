"""Whole runs draw the same whatever draws, and however many at once: PPO, its evaluations, the
reward model's normalisation and best of n."""

import json

import pytest

from rlhf.rundir.read import read_json

DRAWN = [
    *("generation.stop=[' the']", "best_of_n=default", "best_of_n.samples=4"),
    *("best_of_n.prompts=4", "ppo.iterations=2"),
]


def records(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    points = read_json(folder / "best_of_n.json")["points"]
    return [
        {key: x for key, x in row.items() if isinstance(x, (int, float))} for row in rows + points
    ]


def texts(folder):
    rows = map(json.loads, (folder / "samples.jsonl").read_text().splitlines())
    return [(row["prompt"], row["response"]) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [["generation.engine=hf"], ["generation.micro_batch_tokens=40"]],
    ids=["hf", "micro-batches"],
)
def test_a_run_is_the_same_run(run_in, tmp_path, way):
    for name, words in (("one", []), ("other", way)):
        run_in(tmp_path / name, *DRAWN, *words, without="best_of_n")
    assert texts(tmp_path / "one") == texts(tmp_path / "other")
    assert "the" not in " ".join(response for _, response in texts(tmp_path / "one")).split()
    for one, other in zip(*(records(tmp_path / name) for name in ("one", "other")), strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-3, nan_ok=True)
