from rlhf.compare.read.best_of_n import curve
from rlhf.compare.read.runs import load_run


def test_read_from_the_first_run_that_has_it(rundirs, tmp_path):
    without, run = rundirs.make_run(tmp_path / "a"), rundirs.make_run(tmp_path / "b")
    assert curve([load_run(without), load_run(run)]) is None
    points = [
        {"n": 4, "kl/sequence_nats": 0.64, "reward/gold": 2.0, "reward/gold_se": 0.1},
        {"n": 1, "kl/sequence_nats": 0.0, "reward/gold": 1.0},
    ]
    rundirs.write(run / "best_of_n.json", {"points": points})
    found = curve([load_run(without), load_run(run)])
    assert [(p.n, p.kl, p.rewards) for p in found.points] == [
        (1, 0.0, {"reward/gold": 1.0}),
        (4, 0.64, {"reward/gold": 2.0}),
    ]
