from pathlib import Path

import pytest

from rlhf.config.compose import compose, validate
from rlhf.reproduce.check import Job
from rlhf.reproduce.numbers import MetricComparison
from rlhf.reproduce.report import conclusion, of_job
from rlhf.reproduce.target import Original, Target
from rlhf.reproduce.verdict import JobComparison, StageComparison

EQUAL = MetricComparison(
    name="kl/coef", compared=3, differing=0, first=None, max_abs=0.0, max_rel=0.0
)
OFF = MetricComparison(
    name="ppo/policy_loss", compared=3, differing=2, first=1, max_abs=0.5, max_rel=0.25
)


@pytest.fixture(scope="module")
def made():
    """made(metric, how the original stands, how the new run stands) -> what a job came to"""
    cfg = validate(compose(["tracking=none"]))

    def one(metric=EQUAL, then="finished", now="finished"):
        sides = [
            Original(
                name="kl0",
                directory=Path(side),
                manifest={"stage": "ppo"},
                summary={},
                status={"state": state},
                state=state,
            )
            for side, state in (("then", then), ("now", now))
        ]
        job = Job(
            original=sides[0], config=cfg, root=Path(), differences=(), fingerprints={}, data=""
        )
        stage = StageComparison(
            stage="ppo",
            then=Path("then"),
            now=Path("now"),
            iterations=(2, 2),
            shared=3,
            metrics=(metric,),
        )
        return JobComparison(job=job, now=sides[1], stages=(stage,))

    return one


SWEEP = Target(kind="sweep", name="s", directory=Path("s"), jobs=())


def test_a_sweep_that_came_out_the_same(made):
    all_of_it = "every metric of every iteration, weights and samples"
    assert conclusion(SWEEP, [made()], []) == f"bitwise equal: 1 job, {all_of_it}"
    assert conclusion(SWEEP, [made(), made()], []) == f"bitwise equal: both jobs, {all_of_it}"
    cut = [made(), made(then="stopped"), made()]
    assert (
        conclusion(SWEEP, cut, ["x"])
        == f"bitwise equal: all 3 jobs (1 as far as the original goes), {all_of_it}; 1 job of it"
        " had not begun"
    )


def test_jobs_of_another_version_are_left_out(made):
    assert conclusion(SWEEP, [made()], ["x"], ["y", "z"]).endswith(
        "samples; 1 job of it had not begun; left out 2 jobs of another version of the run hash"
    )


def test_a_sweep_that_did_not(made):
    """A job that failed is not among those that differ."""
    jobs = [made(), made(OFF), made(now="failed")]
    assert (
        conclusion(SWEEP, jobs, []) == "not equal: 1 of 3 jobs differ; 1 of 3 jobs did not finish"
    )


def test_every_metric_is_written_down(made):
    (stage,) = of_job(made(OFF))["stages"]
    assert stage["metrics"] == {
        "ppo/policy_loss": {
            "equal": False,
            "compared": 3,
            "differing": 2,
            "first": 1,
            "max_abs": 0.5,
            "max_rel": 0.25,
        }
    }
    assert (stage["equal"], stage["last_iteration"]) == (False, {"then": 2, "now": 2})
