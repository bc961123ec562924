import os

from rlhf.rundir.status import read_launcher, sweep_jobs


def states(directory):
    return {job.name: (job.state, job.exit_code) for job in sweep_jobs(directory)}


def test_the_parent_was_killed(sweep, write, gone):
    place, told = sweep
    write.launcher(place, gone, **told)
    assert states(place) == {
        "done": ("finished", 0),
        "bad": ("failed", 1),
        "killed": ("failed", -9),
        "slow": ("time limit", 143),
        "on": ("running", None),  # it has not noticed yet
        "lost": ("cut", None),
        "far": ("running", None),  # its machine is not this one
        "later": ("not started", None),
    }


def test_the_parent_is_at_work(sweep, write):
    place, told = sweep
    write.launcher(place, os.getpid(), **{**told, "bad": {"state": "waiting"}})
    found = states(place)
    assert (found["bad"], found["later"], found["on"]) == (
        ("waiting", None),
        ("waiting", None),
        ("running", None),
    )
    assert read_launcher(place).parent == os.getpid()


def test_without_a_launchers_file(sweep):
    """The runs' own files say it."""
    place, _ = sweep
    found = states(place)
    assert (found["killed"], found["slow"], found["on"]) == (
        ("cut", None),
        ("stopped", 143),
        ("running", None),
    )
