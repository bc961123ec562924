"""Sweeps are counted before they are listed: nothing loops over a value's size."""

import pytest

MOST = "a sweep has 10,000 jobs at most"


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["seed=range(0,1000000000)"], f"gives 1,000,000,000 values; {MOST}"),
        (["seed=shuffle(range(0,1000000000))"], f"gives 1,000,000,000 values; {MOST}"),
        (["kl.coef=range(0,1e9,0.5)"], f"gives 2,000,000,000 values; {MOST}"),
        (["seed=range(0,1,0)"], f"gives endlessly many values; {MOST}"),
        (["seed=range(3,3)"], "seed=range(3,3): gives no value"),
        (["kl/coef=glob(x*)"], "kl/coef=glob(x*): gives no value; kl/coef has alpaca_farm"),
        (
            ["seed=range(0,200)", "kl.coef=range(0,100)"],
            "these lists of values make 20,000 jobs; a sweep has 10,000 at most",
        ),
    ],
)
def test_too_many_or_none(planned, lines, fault):
    found = planned(*lines, multirun=True)
    assert fault in "\n".join(found.faults) and len(found.faults) == 1


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("seed=range(0,7,3)", 3),  # 0, 3, 6
        ("seed=range(7,0,-3)", 3),  # 7, 4, 1
        ("kl.coef=range(0.1,0.31,0.1)", 3),
        ("kl.coef=0.1,0.2", 2),
        ("kl/coef=glob(*)", 8),
        ("kl/coef=glob([m*,h*],exclude=high)", 1),
        ("seed=3", 1),
    ],
)
def test_as_many_jobs_as_hydra_makes(planned, line, number):
    found = planned(line, multirun=True)
    assert (found.faults, len(found.jobs)) == ([], number)


def test_a_glob_chooses_each_option(planned):
    found = planned("kl/coef=glob(*)", multirun=True)
    coefs = [0.0067, 0.02, 0.04, 0.2, 0.02, 0.05, 0.0, 0.2]
    assert [job.config.kl.coef for job in found.jobs] == coefs
