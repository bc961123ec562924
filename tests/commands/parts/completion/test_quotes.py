"""What bash puts into a line, with a quote open or not."""

import pytest

from rlhf.commands.parts.completion.engine import split
from rlhf.commands.parts.completion.quotes import for_bash, open_quote

BREAKS = " \t\n\"'@><=;|&(:"


@pytest.mark.parametrize(
    ("line", "candidate", "expected"),
    [
        ("rlhf kl/controller=pi", "kl/controller=pid", "pid"),
        ('rlhf "kl/controller=pi', "kl/controller=pid", "kl/controller=pid"),
        ("rlhf kl/controller='pi", "kl/controller=pid", "pid"),
        ("rlhf 'kl/controller'=pi", "kl/controller=pid", "pid"),
        ("rlhf --config-dir my\\ gr", "my groups/", "my\\ groups/"),
        ("rlhf --config-dir 'my gr", "my groups/", "my groups/"),
        ("rlhf --config-dir=my", "--config-dir=my groups/", "my\\ groups/"),
    ],
)
def test_what_stands_in_place_of_the_last_word(line, candidate, expected):
    word = split(line)[1]
    assert for_bash(candidate, line=line, word=word, breaks=BREAKS) == expected


@pytest.mark.parametrize(
    ("line", "place"),
    [("a 'b", 2), ('a "b"', None), ("a \"b'", 2), ("a \\'b", None), ("'\\' 'c", 4), ("", None)],
)
def test_where_a_quote_is_open(line, place):
    assert open_quote(line) == place
