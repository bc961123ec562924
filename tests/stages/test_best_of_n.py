import math

import pytest

from rlhf.rundir.read import read_json

MEASURED = [
    "best_of_n=default",
    "best_of_n.samples=4",
    "best_of_n.prompts=6",
    "stage=ppo",
    "ppo.iterations=1",
]


def test_best_of_n_is_measured_once_for_runs_that_share_its_parts(run_in, artifacts, tmp_path):
    def made():
        return sorted((artifacts / "best_of_n").glob("*/best_of_n.json"))

    run_in(tmp_path / "one", *MEASURED, "kl.coef=0.3", without="best_of_n")
    found, before = read_json(tmp_path / "one" / "best_of_n.json"), made()
    (own,) = [path for path in before if read_json(path) == found]  # others are of other tests
    written = own.stat().st_mtime_ns
    run_in(tmp_path / "two", *MEASURED, "kl.coef=0.6", "seed=1", without="best_of_n")
    assert (made(), own.stat().st_mtime_ns) == (before, written)
    assert read_json(tmp_path / "two" / "best_of_n.json") == found
    rows = found["points"]
    assert [row["n"] for row in rows] == [1, 2, 4]
    assert [row["kl/sequence_nats"] for row in rows] == pytest.approx(
        [0.0, math.log(2) - 1 / 2, math.log(4) - 3 / 4]
    )
    proxy = [row["reward/proxy"] for row in rows]
    # the kept one has the highest proxy; gold may do what it likes
    assert proxy[0] < proxy[1] < proxy[2]
    assert all(row["reward/gold_se"] > 0 and row["reward/proxy_se"] > 0 for row in rows)


def test_best_of_n_none_measures_nothing(run_in, artifacts, tmp_path):
    run_in(tmp_path / "run", "ppo.iterations=1", "kl.coef=0.4")
    assert not (tmp_path / "run" / "best_of_n.json").exists()
