import csv

from rlhf.compare.read.runs import load
from rlhf.compare.statistics.along_kl.matched import cell
from rlhf.compare.statistics.along_kl.reading import trail
from rlhf.compare.statistics.study import study
from rlhf.compare.text.results import health, matched, matched_rows, shown
from rlhf.compare.text.tables import write_csv


def test_the_table_of_the_report_and_its_csv(gamed, tmp_path):
    found = study(gamed, load(gamed))
    at = matched(found)
    assert "| setting | 1 nat | 2 nats | 5 nats | 10 nats |" in at
    assert (
        "| kl.coef=0.2 | 1.26 (1.15 to 1.37) | 1.50 (1.32 to 1.68) | not reached (furthest 2) | not"
        " reached (furthest 2) |" in at
    )
    assert at.endswith("- 5 nats: kl.coef=0 is highest, not clearly higher than any other.")
    write_csv(tmp_path / "m.csv", matched_rows(found))
    with (tmp_path / "m.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["reward"] == "reward/gold"]
    assert len(rows) == 12
    assert (rows[8]["setting"], rows[8]["reached"]) == ("kl.coef=0.2", "1")
    assert 1.25 < float(rows[8]["mean"]) < 1.27
    assert (rows[10]["mean"], rows[10]["reached"], rows[10]["furthest_nats"]) == ("", "0", "2.0")
    two = found.settings[2]
    near = cell(two, [trail(run, "reward/gold") for run in two.runs], 2.1)
    assert shown(near) == "1.50 (1.32 to 1.68)†"
    assert matched(study(gamed, [])) == ""


def test_a_failed_run_is_told_of_too(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "well")
    assert "There was nothing to check" in health(study(tmp_path, load(tmp_path)))
    lost = rundirs.make_run(tmp_path / "lost", coef=0.2, state="failed")
    rundirs.append(lost / "metrics.jsonl", {"iteration": 9, "ppo/value_loss": "nan"})
    assert health(study(tmp_path, load(tmp_path))) == (
        "## Training health\n\n"
        "- **Value divergence**, lost (failed) (1 of 1 runs): The value loss stopped being a"
        " number."
    )
