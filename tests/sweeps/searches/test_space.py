import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from rlhf.sweeps.searches.space import Dimension, split


def read(*lines):
    return split(OverridesParser.create().parse_overrides(list(lines)))


def test_hydras_words_for_a_search_space():
    fixed, dimensions = read(
        "seed=3",
        "a=interval(0, 1.5)",
        "b=tag(log, interval(0.01, 1))",
        "c=choice(x,y)",
        "d=1,2",
        "e=range(1, 8, 2)",
        "f=int(interval(2, 9))",
    )
    assert fixed == ["seed=3"]
    assert dimensions == [
        Dimension(key="a", low=0.0, high=1.5),
        Dimension(key="b", low=0.01, high=1.0, log=True),
        Dimension(key="c", choices=("x", "y")),
        Dimension(key="d", choices=("1", "2")),
        Dimension(key="e", low=1.0, high=7.0, whole=True, step=2.0),
        Dimension(key="f", low=2.0, high=9.0, whole=True),
    ]


def test_the_last_word_on_a_key_counts():
    assert read("a=1,2", "a=3") == (["a=3"], [])
    assert read("a=3", "a=1,2") == ([], [Dimension(key="a", choices=("1", "2"))])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a=interval(2, 1)", "smaller"),
        ("a=tag(log, interval(0, 1))", "above 0"),
        ("a=range(5, 1)", "nothing to choose from"),
    ],
)
def test_no_search_space(line, said):
    with pytest.raises(HydraException, match=said):
        read(line)


def test_a_proposal_is_short_and_inside():
    dimension = Dimension(key="kl.coef", low=0.01, high=0.123456, log=True)
    assert dimension.line(0.0371234567) == "kl.coef=0.03712"
    assert dimension.line(0.123456) == "kl.coef=0.123456"  # 0.1235 would be outside
    assert Dimension(key="n", low=1, high=7, whole=True).line(3) == "n=3"
    assert Dimension(key="c", choices=("x", "y")).line("y") == "c=y"


def test_the_ends_are_not_rounded():
    """A search knows that an end was measured by its number."""
    found = Dimension(key="a", low=0.0123456, high=0.987654, log=True)
    assert found.line(0.0123456) == "a=0.0123456"
    assert found.line(0.987654) == "a=0.987654"
    assert found.line(0.5123456) == "a=0.5123"
