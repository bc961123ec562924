"""Values that Hydra's grammar cannot read: the sentence has a command line that works."""

import os
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from rlhf.config.hints.quoting import as_text, rewritten

read = OverridesParser.create().parse_override
TEXTS = [
    "ü.jsonl",
    "a b.jsonl",
    "/x/y=z.jsonl",
    "a,b.jsonl",
    "it's.jsonl",
    'say "hi".jsonl',
    "both ' and \".jsonl",
    "C:\\data\\x.jsonl",
    "ends in \\",
    "a;b&c|d.jsonl",
    "x#y.jsonl",
    "日本.jsonl",
    "a(1).jsonl",
    "$HOME/x.jsonl",
    "~/x.jsonl",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_word_gives_this_very_text(text):
    """As a POSIX shell splits it and as Hydra reads it."""
    (word,) = shlex.split(as_text("data.demonstrations", text))
    override = read(word)
    assert (override.key_or_group, override.value()) == ("data.demonstrations", text)
    assert not override.is_sweep_override()


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("data.demonstrations=ü.jsonl", "write 'data.demonstrations=\"ü.jsonl\"'"),
        ("data.demonstrations=/x/y=z", "write 'data.demonstrations=\"/x/y=z\"'"),
        ("data.demonstrations=~/x", f"write data.demonstrations={os.path.expanduser('~/x')}"),
        ("kl.coef = 0.5", "write kl.coef=0.5, without spaces"),
        ("kl.coef", "write key=value, without spaces"),
        ("=3", "write key=value"),
        (
            "kl.coef=${oc.decode:${oc.env:COEF,0.1}}",
            "write 'kl.coef=\"${oc.decode:${oc.env:COEF,0.1}}\"'",
        ),
        # what is meant as something else than text is left to the parser's own words
        ("kl.coef=[1", ""),
        ("kl.coef=range(1,2", ""),
        ("kl.coef='a", ""),
    ],
)
def test_what_to_write_instead(line, hint):
    assert rewritten(line, read) == hint


def test_no_second_fault_of_a_key_that_could_not_be_read(planned):
    lines = ["data=jsonl", "data.gold=vader", "data.demonstrations=ü.jsonl"]
    assert planned(*lines).faults == [
        "data.demonstrations=ü.jsonl: cannot be read; write 'data.demonstrations=\"ü.jsonl\"'"
    ]


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("kl.coef=1,5", " (one number: kl.coef=1.5)"),
        (
            "data.demonstrations=a,b",
            (
                " (as one text: 'data.demonstrations=\"a,b\"'; as a list:"
                " 'data.demonstrations=[a,b]')"
            ),
        ),
        ("seed=range(3)", ""),
    ],
)
def test_several_values_where_one_was_meant(planned, line, rest):
    lines = ["data=jsonl", "data.demonstrations=x", "data.gold=vader", line]
    assert planned(*lines).faults == [f"{line}: several values make a sweep; add -m{rest}"]


@pytest.mark.parametrize(
    "lines",
    [
        ["data.demonstrations=a,b", "data=jsonl", "data.gold=vader"],
        ["kl/controller=adaptive,pid", "kl.controller.target=6"],
    ],
)
def test_several_values_are_the_only_fault(planned, lines):
    """The key is not told to lack a value, nor its group to have no such key."""
    (fault,) = planned(*lines).faults
    assert fault.startswith(f"{lines[0]}: several values make a sweep")
