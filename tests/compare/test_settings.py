import json

import pytest

from rlhf.compare.load import load
from rlhf.compare.report import reading
from rlhf.compare.settings import differing, group


def test_a_seed_counts_once(rundirs, tmp_path):
    """The second seed ran twice; the copy that finished later, 3.0, counts. Mean of 1 and 3."""
    rundirs.make_run(tmp_path / "s0", seed=0, gold=1.0)
    rundirs.make_run(tmp_path / "s1", seed=1, gold=2.0)
    assert "left out" not in reading(group(load(tmp_path)))
    late = rundirs.make_run(tmp_path / "s1-rerun1", seed=1, gold=3.0)
    status = json.loads((late / "status.json").read_text())
    rundirs.write(late / "status.json", status | {"time": status["time"] + 1})
    rundirs.make_run(tmp_path / "s2", seed=2, state="failed")
    (setting,) = group(load(tmp_path))
    assert [run.name for run in setting.runs] == ["s0", "s1-rerun1"] and [run.name for run in setting.copies] == ["s1"]
    assert (setting["reward/gold"].mean, setting["reward/gold"].n) == (2.0, 2)
    assert "1 run repeats a seed of its setting and is left out here" in reading([setting])


@pytest.mark.parametrize("seeds", [(None, None), (0, 0)])
def test_runs_that_do_not_say_their_seed_all_count(rundirs, tmp_path, seeds):
    for i, seed in enumerate(seeds):
        rundirs.make_run(tmp_path / f"r{i}", seed=seed)
    (setting,) = group(load(tmp_path))
    assert (len(setting.runs), len(setting.copies)) == ((2, 0) if seeds[0] is None else (1, 1))


def test_values_lose_their_logins(rundirs, tmp_path):
    for i, host in enumerate("ab"):
        rundirs.make_run(tmp_path / host, seed=i, config={"data": {"url": f"https://me:s3cret@{host}/x"}})
    assert differing(load(tmp_path))["data.url"] == {"a": "https://***@a/x", "b": "https://***@b/x"}
