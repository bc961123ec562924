"""Win rates beside the settings: by the runs that have them."""

import csv

from rlhf.compare import compare
from rlhf.compare.read.runs import gather
from rlhf.compare.statistics.study import study
from rlhf.compare.text import settings
from rlhf.compare.text.columns import win_rates
from tests.compare.made import edit

RATES = {"win_rate": 0.7, "win_rate_se": 0.05, "win_rate/length_controlled": 0.6}
BY = {
    "evaluation": {"win_rate": "sft"},
    "annotator": {"_target_": "rlhf.annotators.preference.GoldAnnotator"},
}


def made(rundirs, directory):
    won = rundirs.make_run(directory / "won", coef=0.1, config=BY)
    edit(won / "summary.json", **RATES, **{"win_rate/length_controlled_se": 0.04})
    rundirs.make_run(directory / "old", coef=0.5)


def test_columns_beside_the_settings(rundirs, tmp_path):
    made(rundirs, tmp_path)
    whole = study(tmp_path, gather([tmp_path]))
    head, lines = settings.table(whole)
    at = head.index("win rate")
    assert head[at - 1 : at + 3] == ["gold over SFT", "win rate", "at equal length", "length"]
    assert [len(line) for line in lines] == [len(head)] * 3
    # ± 1.96 standard errors
    cells = [line[at : at + 2] for line in lines]
    assert sorted(cells) == [["", ""], ["", ""], ["0.700 ± 0.098", "0.600 ± 0.078"]]
    assert "of annotator=gold for the policy's answers over SFT's, ties" in settings.markdown(whole)


def test_each_member_of_a_pool_has_a_column(rundirs, tmp_path):
    made(rundirs, tmp_path)
    by = {"win_rate/of/judge": 0.6, "win_rate/of/judge_se": 0.02}
    edit(tmp_path / "won" / "summary.json", **by, **{"win_rate/of/judge/position_bias": 0.1})
    head, lines = settings.table(study(tmp_path, gather([tmp_path])))
    at = head.index("at equal length")
    assert head[at + 1 : at + 3] == ["by judge", "length"]
    assert sorted(line[at + 1] for line in lines) == ["", "", "0.600 ± 0.039"]


def test_no_columns_where_no_run_has_them(gamed):
    whole = study(gamed, gather([gamed]))
    assert "win rate" not in settings.table(whole)[0]
    assert win_rates.reading(whole.settings) == ""


def test_the_files(rundirs, tmp_path):
    made(rundirs, tmp_path)
    files = compare(tmp_path / "out", runs=gather([tmp_path]), track=False).files
    rows = {row["name"]: row for row in csv.DictReader(files["runs.csv"].open())}
    assert rows["won"]["win_rate"] == "0.7" and rows["won"]["win_rate/length_controlled"] == "0.6"
    assert rows["old"]["win_rate"] == ""
    assert "| win rate | at equal length |" in files["report.md"].read_text()
