from rlhf.rundir.words import duration, plural


def test_durations():
    assert [duration(s) for s in (7.4, 200, 7500)] == ["7 s", "3 min 20 s", "2 h 05 min"]
    assert [duration(s) for s in (59.6, 3600)] == ["1 min 00 s", "1 h 00 min"]


def test_one_and_several():
    assert [plural(n, "job") for n in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
