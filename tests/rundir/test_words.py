import pytest

from rlhf.rundir.words import (
    about,
    duration,
    plural,
    plus_minus,
    seconds_of,
    shortened,
    wrapped,
)


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


def test_a_shortened_name_keeps_what_tells_it_from_others():
    """The beginning, which commands take for the name; the end or the middle where beginnings are
    alike."""
    sweep = ["kl0-fixed-seed0-dc413a65", "kl0.02-fixed-seed0-fb218b92"]
    assert shortened(sweep, 27) == sweep
    assert shortened(sweep, 12) == ["kl0-fixed-s…", "kl0.02-fixe…"]
    assert shortened(["run-one-1", "run-one-22"], 8) == ["…n-one-1", "…-one-22"]
    assert shortened(["a-same-1", "b-same-1", "a-same-2"], 6) == ["a-s…-1", "b-s…-1", "a-s…-2"]


def test_lines_are_broken_between_words():
    """Below the words beside a label; a path stays whole."""
    line = "  memory   about 585 MB of 25 GB in ppo: weights 1 MB"
    assert wrapped(line, 40) == (
        "  memory   about 585 MB of 25 GB in ppo:\n           weights 1 MB"
    )
    assert wrapped("to read: three short words", 22) == ("to read: three short\n  words")
    assert wrapped(f"{'x' * 30} is\nshort", 22) == f"{'x' * 30}\n  is\nshort"


def test_a_number_has_the_digits_of_its_error():
    assert plus_minus(0.2493, 0.13) == "0.25 ± 0.13"
    assert plus_minus(14.07, 0.5) == "14.07 ± 0.50"
    assert plus_minus(1.0861, float("nan")) == "1.086"
