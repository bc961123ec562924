import io

from rich.console import Console

from rlhf.rundir.status import read_status, write_status
from rlhf.sweeps.job import Job, Outcome
from rlhf.sweeps.screen.table import (
    PROGRESS,
    jobs_table,
    print_outcomes,
    print_state,
    progress,
    progress_columns,
)


def test_the_end_says_why_and_where(tmp_path):
    (tmp_path / "log.txt").write_text("one\nValueError: no\n\n")
    outcome = Outcome(Job(name="a", directory=tmp_path, plain={}), "failed", 1)
    out = Console(file=io.StringIO(), width=160)
    print_outcomes(out, [outcome])
    assert "exit 1" in out.file.getvalue()
    assert (
        f"a: failed\n  | one\n  | ValueError: no\n  log: {tmp_path / 'log.txt'}"
        in out.file.getvalue()
    )


def test_a_job_that_was_stopped_says_where(write, tmp_path):
    """Of those that finished the comparison says more."""
    write.job(tmp_path / "a", state="stopped", stage="ppo", iteration=3, iterations=9)
    jobs = [Job(name=name, directory=tmp_path / name, plain={}) for name in "ab"]
    out = Console(file=io.StringIO(), width=160)
    print_outcomes(out, [Outcome(jobs[0], "stopped", 143, 5.0), Outcome(jobs[1], "not started")])
    head, first, *_ = out.file.getvalue().splitlines()
    assert head.split() == ["job", "state", "exit", "iteration", "time"]
    assert first.split() == ["a", "stopped", "exit", "143", "ppo", "3/9", "5", "s"]


def test_what_is_printed(sweep, write, gone):
    place, told = sweep
    write.launcher(place, gone, **told)
    out = io.StringIO()
    print_state(Console(file=out, width=160), place)
    lines = out.getvalue().splitlines()
    assert lines[0].split() == [
        "job",
        "state",
        "exit",
        "stage",
        "iteration",
        "proxy",
        "gold",
        "KL",
        "coef",
        "seen",
    ]
    assert lines[2].split() == ["bad", "failed", "1", "ppo", "3/9"]
    assert "  | ValueError: a bad day" in lines
    assert f"  log: {place / 'bad' / 'log.txt'}" in lines
    assert lines[-1].startswith(f"8 jobs in {place}: 2 failed, 2 running, 1 finished")


def test_a_sweep_at_rest_says_how_to_go_on(write, tmp_path):
    write.job(tmp_path / "s" / "bad", state="failed", exit_code=1)
    out = io.StringIO()
    print_state(Console(file=out, width=160), tmp_path / "s")
    assert (
        out.getvalue()
        .splitlines()[-1]
        .endswith("1 failed; nobody is at work on them; the same command runs what is missing")
    )


def test_columns_of_other_rewards():
    """Those of the jobs, in the place of proxy and gold where no job has these."""
    row = {"job": "a", "state": "running", "stage": "ppo", "proxy": "", "gold": "", "KL": "1.0"}
    assert progress_columns([row]) == PROGRESS
    assert progress_columns([row, {**row, "mood": "+0.1"}]) == (
        *("stage", "iteration", "mood", "KL", "coef"),
    )
    assert progress_columns([{**row, "gold": "+1", "mood": "+0.1"}]) == (
        *("stage", "iteration", "gold", "mood", "KL", "coef"),
    )


def test_a_stage_has_its_algorithms_name(tmp_path):
    write_status(tmp_path, state="running", stage="ppo", title="grpo", iterations=4)
    assert progress(tmp_path, read_status(tmp_path))["stage"] == "grpo"
    write_status(tmp_path, state="running", stage="realign", iterations=4)
    assert progress(tmp_path, read_status(tmp_path))["stage"] == "realign"
    assert progress(tmp_path, {"stage": "ppo"})["stage"] == "ppo"  # as older versions wrote it


def test_a_table_fits_80_columns():
    """Names keep their ends, and every number is whole."""
    numbers = {"proxy": "+12.345", "gold": "-12.345", "KL": "123.45", "coef": "0.01234"}
    rows = [
        {
            "job": f"kl.controller=adaptive,kl.coef=0.{i},seed={i}",
            "state": "finished before",
            **{"stage": "reward_model", "iteration": "1000/1000", "time": "12 h 34 min"},
            **numbers,
        }
        for i in range(3)
    ]
    for width in (200, 80):
        out = io.StringIO()
        table = jobs_table(rows, *PROGRESS, "time", width=width, caption="0 of 3 jobs finished")
        Console(file=out, width=width).print(table)
        lines = out.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        assert lines[1].split()[0].endswith("0,seed=0") and "+12.345" in lines[1]
        assert ("0.01234" in lines[1]) == (width == 200)
        assert lines[-1].strip() == "0 of 3 jobs finished"
