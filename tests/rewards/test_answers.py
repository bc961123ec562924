from fractions import Fraction

import pytest

from rlhf.rewards.answers import equal, final, last_number, normalised


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42),
        ("It is 42.", 42),
        ("42.0", 42),
        ("2 + 2 = 4\n#### 4", 4),
        ("#### $1,000", 1000),
        ("$1,234.50", Fraction(2469, 2)),
        ("12,345,678 dollars", 12345678),
        ("-$2", -2),
        ("x = -7.", -7),
        ("\u22128", -8),
        ("costs 5-3", 3),
        ("50%", 50),
        ("3/4 of them", Fraction(3, 4)),
        ("9/0", 9),
        ("6e3", 6000),
        ("£.50", Fraction(1, 2)),
        ("1.5.", Fraction(3, 2)),
        ("1, 2, 3", 3),
        (r"so \boxed{17} apples, of 20", 17),
        ("#### 5\nand 6", 6),
        ("no number", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_the_last_number(text, number):
    assert last_number(text) == number


def test_the_final_answer():
    assert final("work 1\n#### 42 ") == "42"
    assert final(r"so \boxed{\frac{1}{2}}.") == r"\frac{1}{2}"
    assert final(" all ") == "all"
    assert normalised(' "The  Eiffel\nTower." ') == "the eiffel tower"


@pytest.mark.parametrize(
    ("response", "reference", "exact", "numeric"),
    [
        ("Paris.", "paris", True, False),
        ("It is Paris", "paris", False, False),
        ("42", "42.0", False, True),
        ("so she has 42 apples", "10 + 32 = 42\n#### 42", False, True),
        ("#### 42", "42", True, True),
        ("#### 1,042", "1042", False, True),
        ("41", "42", False, False),
        ("none", "42", False, False),
    ],
)
def test_equal(response, reference, exact, numeric):
    assert equal(response, reference, "exact") is exact
    assert equal(response, reference, "numeric") is numeric
    assert equal(response, reference, "either") is (exact or numeric)
