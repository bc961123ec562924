"""Counts by hand: rows of a few words, tokens given."""

from rlhf.data.conversations import ASSISTANT, SYSTEM, USER, Prompt, Turn, asked
from rlhf.data.records import Demonstration, Split
from rlhf.data.report.measure import (
    Measured,
    conversation,
    count_limit,
    count_part,
    prompts_in_common,
    sample,
)
from rlhf.data.report.values import Spread, ranked
from tests.turns import demonstration, preference, prompts


def test_a_spread_is_made_of_the_numbers_themselves():
    """Of 1 to 20 the 10th is the median and the 19th what 95 % do not exceed."""
    assert Spread.of(range(20, 0, -1)) == Spread(least=1, median=10, p95=19, most=20)
    assert Spread.of([7]) == Spread(least=7, median=7, p95=7, most=7)
    assert Spread.of([]) is None


def test_the_rank_of_a_share_is_not_one_too_high():
    """0.95 * 20 and 0.9 * 10 are whole numbers, which floats miss."""
    assert ranked([*range(1, 21)], 0.95) == 19
    assert ranked([*range(1, 11)], 1 - 0.1) == 9
    assert ranked([3, 4], 0.0) == 3


def test_a_sample_is_evenly_spaced():
    assert sample("abcdefghij", 5) == [*"acegi"]
    assert sample("abc", 5) == [*"abc"]


def test_rows_turns_and_tokens_of_a_part():
    talk = (Turn(SYSTEM, "be kind"), *asked("hi"), Turn(ASSISTANT, "ho"), *asked("why"))
    split = Split(
        train=(demonstration("a", "b"), Demonstration(prompt=talk, completion="so")),
        heldout=(demonstration("c", "d"),),
    )
    tokens = [Measured(prompt=n, sequences=(n + 2,)) for n in (2, 9, 3)]
    part = count_part("demonstrations", split, tokens)
    assert (part.rows, part.heldout, part.all, part.measured) == (2, 1, 3, 3)
    assert part.turns == Spread(least=2, median=2, p95=5, most=5)
    assert part.tokens == Spread(least=4, median=5, p95=11, most=11)
    assert part.prompt_tokens == Spread(least=2, median=3, p95=9, most=9)
    assert (part.duplicates, part.duplicates_but_for_spaces, part.not_alternating) == (0, 0, 0)


def test_duplicates_are_exact_or_differ_in_spaces():
    rows = [("a b", "c"), ("a b", "c"), ("a  b", "c\n"), ("a b", "d")]
    split = Split(train=tuple(demonstration(*row) for row in rows), heldout=())
    part = count_part("demonstrations", split, [])
    assert (part.duplicates, part.duplicates_but_for_spaces) == (1, 2)
    assert part.tokens is None and part.measured == 0
    pairs = Split(train=(preference("a", "b", "c"), preference("a", "c", "b")), heldout=())
    assert count_part("preferences", pairs, []).duplicates == 0


def test_conversations_that_do_not_alternate_are_counted_and_the_first_is_placed():
    twice = (Turn(USER, "hello"), Turn(USER, "hello?"))
    rows = (Prompt(turns=asked("fine")), Prompt(turns=twice), Prompt(turns=twice))
    part = count_part(
        "prompts", Split(train=rows, heldout=()), [], lambda row: f"p.jsonl:{rows.index(row) + 1}"
    )
    assert part.not_alternating == 2
    assert part.first_odd == "p.jsonl:2: turns 1 and 2 are both the user's"


def test_a_limit_counts_each_row_once_and_knows_what_would_be_enough():
    """Ten rows of 1 to 10 tokens: at 8 two are lost; 9 would lose a tenth of them."""
    fates = ["whole"] * 8 + ["cut", "dropped"]
    rows = [
        Measured(prompt=1, sequences=(n, 1), fate=fate, same=fate == "dropped")
        for n, fate in zip(range(1, 11), fates, strict=True)
    ]

    def at(max_lost):
        return count_limit(
            *("reward_model", "preferences", rows),
            bound="reward_model.max_length=8",
            limit=8,
            rule="cut",
            max_lost=max_lost,
        )

    limited = at(0.1)
    assert (limited.cut, limited.dropped, limited.truncated, limited.same) == (1, 1, 0, 1)
    assert (limited.lost, limited.share, limited.enough) == (2, 0.2, 9)
    assert limited.tokens == Spread(least=1, median=5, p95=10, most=10)
    assert (at(0.05).enough, at(0.25).enough) == (10, 8)


def test_prompts_on_both_sides_within_a_part_and_across_two():
    """Demonstrations train on a, c; "a" is held out of the preferences, and c is on both sides of
    them, though its spaces differ."""
    parts = {
        "demonstrations": Split(
            train=(demonstration("a", "1"), demonstration("c", "1")),
            heldout=(demonstration("b", "1"),),
        ),
        "preferences": Split(
            train=(preference("c", "1", "2"),),
            heldout=(preference("a", "1", "2"), preference("c ", "1", "2")),
        ),
    }
    both, shared = prompts_in_common(parts)
    assert both == {
        "demonstrations": 0,
        "demonstrations, preferences": 2,
        "preferences, demonstrations": 0,
        "preferences": 1,
    }
    assert shared == {"demonstrations, preferences": 2}


def test_prompts_are_shared_whatever_part_they_came_with():
    parts = {
        "demonstrations": Split(train=(demonstration("a b", "1"),), heldout=()),
        "prompts": Split(train=prompts("a  b", "c"), heldout=()),
    }
    assert prompts_in_common(parts)[1] == {"demonstrations, prompts": 1}


def test_a_pair_is_a_conversation_with_two_answers():
    row = conversation(preference("a", "b", "c"))
    assert row.answers == ("b", "c") and row.whole == (*asked("a"), Turn(ASSISTANT, "b"))
