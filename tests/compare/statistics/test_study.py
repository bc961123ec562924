import csv
import json
import shutil

import pytest

from rlhf.compare import compare
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.study import study


@pytest.fixture
def known(rundirs, tmp_path):
    """Two runs with exact answers, written with the larger coefficient first."""
    directory = tmp_path / "sweeps" / "oracle"
    directory.mkdir(parents=True)
    curve = {
        "frontier": [
            {"beta": 0.1, "kl": 3.0, "reward": 2.0},
            {"beta": 1.0, "kl": 0.5, "reward": 1.0},
        ],
        "best_of_n": [{"n": 1, "kl": 0.0, "reward": 0.5, "formula_kl": 0.0}],
    }
    for coef, share, kl in ((0.5, 0.9, 1.0), (0.1, 0.99, 3.0)):
        run = directory / f"kl.coef={coef}"
        rundirs.make_run(run, coef=coef, gold=1.0, kl=kl, iterations=2)
        summary = json.loads((run / "summary.json").read_text())
        exact = {
            "objective": 0.9,
            "optimum": 1.0,
            "reference": 0.0,
            "share_of_gain": share,
            "kl": kl,
            "reward": 1.5,
            "gap": 0.1,
            "missing_at_kl": 0.01,
            "optimum_kl": 3.1,
            "optimum_reward": 1.6,
            "entropy": 1.0,
        }
        (run / "summary.json").write_text(
            json.dumps(summary | {f"oracle/{name}": value for name, value in exact.items()})
        )
        (run / "oracle.json").write_text(json.dumps(curve))
    return directory


def test_the_table_has_a_row_a_run_by_beta(known):
    made = compare(known, track=False)
    with made.files["oracle.csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:8] == [
        "beta",
        "seed",
        "objective",
        "optimum",
        "reference",
        "share_of_gain",
        "kl",
        "reward",
    ]
    assert [(float(row["beta"]), float(row["share_of_gain"])) for row in rows] == [
        (0.1, 0.99),
        (0.5, 0.9),
    ]
    assert made.files["oracle.png"].stat().st_size > 10_000
    # runs of before there were these numbers have none
    assert {row["kl_to_optimum"] for row in rows} == {row["effective_beta"] for row in rows}
    report = made.files["report.md"].read_text()
    assert "| - | - |" in report
    assert "99.00%" in report and "oracle.png" in report and "99.00%" in made.answer


def test_other_sweeps_have_no_such_files(gamed):
    (gamed / "oracle.csv").write_text("of an earlier comparison")
    made = compare(gamed, track=False)
    assert "oracle.csv" not in made.files and not (gamed / "oracle.csv").exists()


def test_a_copy_is_marked_in_the_table_and_shown_nowhere_else(known):
    shutil.copytree(known / "kl.coef=0.1", known / "kl.coef=0.1-again")
    made = compare(known, track=False)
    with made.files["oracle.csv"].open() as file:
        assert [(row["name"], row["copy_of"]) for row in csv.DictReader(file)] == [
            ("kl.coef=0.1", ""),
            ("kl.coef=0.1-again", "kl.coef=0.1"),
            ("kl.coef=0.5", ""),
        ]
    assert (
        made.answer.count("99.00%") == 1
        and made.files["report.md"].read_text().count("| 99.00% |") == 1
    )


def test_what_to_use_below_a_kl_is_computed_with_the_rest(rundirs, tmp_path):
    """0.1 gains 2 in 10 nats, 0.3 gains 1.5 in 5: below 5 nats 0.3 is the one to use."""
    for coef, (gold, kl) in {0.1: (3.0, 10.0), 0.3: (2.5, 5.0)}.items():
        for seed in range(3):
            directory = tmp_path / f"{coef}-{seed}"
            rundirs.make_run(directory, coef=coef, seed=seed, gold=gold + seed / 20, kl=kl)
    whole = study(tmp_path, load(tmp_path))
    assert whole.deciding.key == "reward/gold" and whole.findings.best.label == "kl.coef=0.1"
    assert (whole.nearer.setting, whole.nearer.kl) == ("kl.coef=0.3", 5.0)
    assert whole.deciding.nearer("kl.coef=0.1", among={"kl.coef=0.1"}) is None
    assert study(tmp_path, []).nearer is None and study(tmp_path, []).deciding is None
    assert whole.gold_fit.runs == 6 and whole.gold_fit.start.mean == 1.0
