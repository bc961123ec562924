"""What runs cost, and what realigned policies are, in tables."""

import csv

from rlhf.compare import compare
from rlhf.compare.read.runs import gather
from rlhf.compare.statistics.study import study
from rlhf.compare.text import costs, realigned, settings
from tests.compare.made import make_path, realign, spend

ENDS = {0.5: (1.0, 1.0, 1.1), 0.1: (4.0, 2.0, 1.5)}
STOPS = {0.0: (0.0, 0.0, 1.0), 0.5: (2.0, 0.8, 1.3), 1.0: (5.0, 1.0, 1.5)}


def _made(rundirs, directory):
    make_path(rundirs, directory / "p", ENDS, seconds=10.0)
    for seed, gold in ((0, 1.2), (1, 1.4)):
        run = rundirs.make_run(directory / f"f{seed}", coef=0.1, seed=seed, kl=5.0)
        spend(run, iterations=40, seconds=100.0 + 50 * seed)
        realign(run, {"weights": STOPS | {0.5: (2.0 + seed, 0.8, gold)}}, seconds=6.0)
    rundirs.make_run(directory / "old", coef=0.9)  # by an older version: it says nothing of it


def test_costs_beside_the_settings(rundirs, tmp_path):
    _made(rundirs, tmp_path)
    whole = study(tmp_path, gather([tmp_path]))
    head, lines = settings.table(whole)
    assert head[-3:] == ["iterations", "CPU seconds", "responses"]
    assert {line[0]: line[-3:] for line in lines} == {
        "SFT": ["", "", ""],
        "kl.controller=fixed kl.coef=0.1 (highest)": ["40", "125", "320"],
        "kl.controller=fixed kl.coef=0.9": ["", "", ""],
        "kl.controller=path kl.coef=0.1": ["6", "20", "48"],
        "kl.controller=path kl.coef=0.5": ["3", "10", "24"],
    }
    assert "points of one KL path are not independent of each other" in costs.reading(whole)


def test_no_columns_where_nothing_was_recorded(gamed):
    whole = study(gamed, gather([gamed]))
    assert settings.table(whole)[0][-1] == "with EOS" and costs.reading(whole) == ""
    assert realigned.markdown(whole) == ""


def test_a_realigned_policy_over_seeds(rundirs, tmp_path):
    """Gold 1.2 and 1.4: the mean 1.3 with t 12.7 times sqrt(0.02 / 2) = 0.1."""
    _made(rundirs, tmp_path)
    whole = study(tmp_path, gather([tmp_path]))
    head, lines = realigned.table(whole)
    assert head[:4] == ["setting", "λ", "mixed", "runs"] and head[-2:] == ["CPU seconds", "after"]
    assert lines[1] == [
        *("kl.controller=fixed kl.coef=0.1", "0.5", "of the weights", "2", "2.5 ± 6.4"),
        *("0.80 ± 0.14", "1.3 ± 1.3", "6", "f0 and 1 more"),
    ]


def test_the_files(rundirs, tmp_path):
    _made(rundirs, tmp_path)
    files = compare(tmp_path / "out", runs=gather([tmp_path]), track=False).files
    rows = {row["name"]: row for row in csv.DictReader(files["runs.csv"].open())}
    first = rows["kl0.5-path-seed0-0"]
    assert [first[key] for key in ("iterations", "cpu_seconds", "episodes")] == ["3", "10.0", "24"]
    assert [first[f"path.{key}"] for key in ("run", "point", "points")] == ["p", "0", "2"]
    assert [rows["old"][key] for key in ("iterations", "cpu_seconds", "path.run")] == [""] * 3
    mixed = list(csv.DictReader(files["realigned.csv"].open()))
    assert len(mixed) == 6
    assert mixed[1]["after"] == "f0" and mixed[1]["lambda"] == "0.5" and mixed[1]["by"] == "weights"
    assert (mixed[1]["reward/gold"], mixed[1]["curve_cpu_seconds"]) == ("1.2", "6.0")
    report = files["report.md"].read_text()
    assert "## Realigned" in report and "a curve costs its CPU time" in report
    assert "Realigned policies" in files["report.html"].read_text()
