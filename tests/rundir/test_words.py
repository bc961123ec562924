import pytest

from rlhf.rundir.words import about, duration, plural, seconds_of


def test_durations():
    assert [duration(s) for s in (7.4, 200, 7500)] == ["7 s", "3 min 20 s", "2 h 05 min"]
    assert [duration(s) for s in (59.6, 3600)] == ["1 min 00 s", "1 h 00 min"]


def test_one_and_several():
    assert [plural(n, "job") for n in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), (30, 1800), ("90s", 90), ("1h30m", 5400), ("0.5d", 43200), ("2 H", 7200)],
)
def test_seconds_of_a_duration(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["soon", "5 weeks", "-3m", "", "0", "1:30", "9" * 400, True, float("nan"), [1]]
)
def test_no_durations(text):
    with pytest.raises(ValueError, match="duration"):
        seconds_of(text)


def test_about():
    seconds = (0.2, 40, 89, 90, 5399, 5400, 172_799, 172_800, 1_000_000)
    words = "0 s, 40 s, 89 s, 2 min, 90 min, 2 h, 48 h, 2 days, 12 days"
    assert [*map(about, seconds)] == words.split(", ")
