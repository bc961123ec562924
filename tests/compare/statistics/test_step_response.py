import json
import math

import pytest

from rlhf.compare import compare
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.step_response import response
from rlhf.compare.statistics.study import study


def test_response_by_hand():
    """Target 2. 90 % is passed at 20, the highest value is 3; the last third is 2.2 and 1.8 in
    turns, its mean the target."""
    kl = [(10.0, 0.0), (20.0, 1.9), (30.0, 3.0), (40.0, 2.0), (50.0, 2.0), (60.0, 2.0)]
    kl += (
        [(70.0 + 10 * i, 2.0) for i in range(4)]
        + [(110.0 + 10 * i, 2.2 if i % 2 else 1.8) for i in range(4)]
        + [(150.0, 2.0)]
    )
    found = response(kl, 2.0)
    assert (found.rise, found.overshoot, found.error) == (20.0, 0.5, pytest.approx(0.0))
    # four of the last five are off by a tenth
    assert found.spread == pytest.approx(math.sqrt(4 * 0.01 / 4))
    # windows of three: (0, 1.9, 3), (1.9, 3, 2) and (3, 2, 2) are outside; the next is (2, 2, 2)
    # around 50
    assert found.settled == 50.0


def test_what_never_happens_is_nan():
    found = response([(float(i), 1.0) for i in range(6)], 2.0)
    assert math.isnan(found.rise) and math.isnan(found.settled)
    assert (found.overshoot, found.error, found.spread) == (0.0, -0.5, 0.0)


@pytest.mark.parametrize(("points", "target"), [(5, 2.0), (6, 0.0), (6, math.nan)])
def test_response_refusals(points, target):
    with pytest.raises(ValueError, match="six points"):
        response([(float(i), 1.0) for i in range(points)], target)


@pytest.fixture
def steered(rundirs, tmp_path):
    """An adaptive run that settles at its target of 2 nats, with the right coefficient known,
    beside a fixed one."""
    directory = tmp_path / "sweeps" / "steered"
    directory.mkdir(parents=True)
    for controller in ("Adaptive", "Fixed"):
        run = rundirs.make_run(
            directory / controller, controller=controller, coef=0.1, iterations=12
        )
        rows = []
        for i in range(13):
            kl, beta = min(0.5 * i, 2.0), 0.1 * 1.1**i if controller == "Adaptive" else 0.1
            seen = {"kl/coef": beta, "kl/sequence_nats": kl + 0.1} if i else {}
            if i and controller == "Adaptive":
                seen |= {"kl/target_sequence_nats": 2.0, "kl/error_sequence_nats": kl + 0.1 - 2.0}
            rows.append(
                {
                    "iteration": i,
                    "eval/reward/proxy": 1.0,
                    "eval/kl/sequence_nats": kl,
                    "oracle/kl": kl,
                    **seen,
                }
            )
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (directory / "Adaptive" / "oracle.json").write_text(
        json.dumps({"target": {"kl": 2.0, "beta": 0.3}, "frontier": [], "best_of_n": []})
    )
    return directory


def test_the_picture_and_its_table_are_in_the_report(steered):
    made = compare(steered, track=False)
    assert made.files["controllers.png"].stat().st_size > 20_000
    report = made.files["report.md"].read_text()
    assert "controllers.png" in report and "The KL is exact." in report
    row = next(line for line in report.splitlines() if "2 per response" in line)
    assert [cell.strip() for cell in row.split("|")[4:8]] == ["4", "0%", "5", "+0.0 ± 0.0 %"]
    assert "(0.3)" in row


def test_without_a_target_there_is_no_table(steered):
    """A schedule's coefficient moves, and nothing is held."""
    path = steered / "Adaptive" / "metrics.jsonl"
    rows = [
        {k: v for k, v in json.loads(line).items() if "target" not in k and "error" not in k}
        for line in path.read_text().splitlines()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = json.loads((steered / "Adaptive" / "config.yaml").read_text())
    del config["kl"]["controller"]["target"]
    (steered / "Adaptive" / "config.yaml").write_text(json.dumps(config))
    made = compare(steered, track=False)
    report = made.files["report.md"].read_text()
    assert "controllers.png" in report and "steady error" not in report


def test_a_sweep_of_fixed_coefficients_has_no_such_picture(gamed):
    assert not study(gamed, load(gamed)).moved
    (gamed / "controllers.png").write_text("of an earlier comparison")
    made = compare(gamed, track=False)
    assert "controllers.png" not in made.files and not (gamed / "controllers.png").exists()
