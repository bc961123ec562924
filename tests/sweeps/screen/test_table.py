import io

from rich.console import Console

from rlhf.sweeps.job import Job, Outcome
from rlhf.sweeps.screen.table import numbers, print_outcomes, print_state


def test_numbers():
    assert numbers({"reward/proxy": 0.5, "kl/sequence_nats": 1.234, "kl/coef": 0.05}) == {
        "reward": "+0.500",
        "KL": "1.23",
        "coef": "0.05",
    }
    assert numbers({"eval/reward/proxy": "nan"}) == {"reward": "nan", "KL": "", "coef": ""}


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
        "reward",
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
