import pytest

from rlhf.data.conversations import Turn
from rlhf.data.rendering.spans import (
    Answer,
    TemplateError,
    answers,
    contents,
    lead,
    marked,
    skeleton,
    tokens_of,
)

TURNS = (Turn("user", "hi"), Turn("assistant", " yes "), Turn("user", "so"), Turn("assistant", ""))


def bones_of(template, turns=TURNS):
    """`template`: what it writes, with {0} in place of the first content."""
    return skeleton(template.format(*(turn.content for turn in marked(turns))), turns)


def test_what_stands_around_the_contents():
    assert bones_of("[{0}] {1}|[{2}] {3}|") == ["[", "0", "] ", "1", "|[", "2", "] ", "3", "|"]
    assert bones_of("{2}{0}{1}{3}") == ["", "2", "", "0", "", "1", "", "3", ""]


def test_a_turn_that_is_left_out():
    with pytest.raises(TemplateError, match="^it leaves out turn 3, the user's$"):
        bones_of("[{0}] {1}|{3}|")


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("[hi] yes |[so]|", [(0, 1, 3), (1, 4, 9), (2, 11, 13), (3, 14, 14)]),
        ("[hi]yes|[so]|", [(0, 1, 3), (1, 4, 7), (2, 9, 11), (3, 12, 12)]),  # trimmed
        ("[hi]yes |[so]|", [(0, 1, 3), (1, 4, 8), (2, 10, 12), (3, 13, 13)]),  # on the left
        ("[hi]YES|[so]|", None),
        ("(hi] yes |[so]|", None),
        ("[hi] yes |[so]|!", None),
    ],
)
def test_where_the_contents_are(text, spans):
    assert contents(text, bones_of("[{0}]{1}|[{2}]{3}|"), TURNS) == spans


def test_contents_that_look_like_the_template_itself():
    turns = (Turn("user", "|[a]|["), Turn("assistant", "]|["))
    assert contents("[|[a]|[]]|[|", bones_of("[{0}]{1}|", turns), turns) == [(0, 1, 7), (1, 8, 11)]


def test_contents_in_another_order_and_twice():
    turns = (Turn("system", "S"), Turn("user", "u"))
    assert contents("S<u S>", bones_of("{0}<{1} {0}>", turns), turns) == [
        (0, 0, 1),
        (1, 2, 3),
        (0, 4, 5),
    ]


@pytest.mark.parametrize(
    ("before", "opening", "expected"),
    [
        ("] Bot:", "", " "),  # the prompt ends with the head of what stands before the content
        ("] Bot: ", "", ""),
        ("] Bot: <think>", "", ""),  # it opens a thought that the conversation has not
        ("# Bot:", "Bot:", " "),  # another way to come to it: by the generation prompt
        ("# Bot:", "", ""),
        ("# Bot:", "Cat:", ""),
    ],
)
def test_what_stands_between_generation_prompt_and_content(before, opening, expected):
    assert lead(bones_of("[{0}] Bot: {1}|[{2}] Bot: {3}|"), 1, before, opening) == expected


def test_answers_begin_with_what_the_template_leads_them_in_with():
    spans = [(0, 1, 3), (1, 8, 11), (2, 12, 14), (3, 20, 20)]
    assert answers("." * 22, spans, TURNS, {1: " ", 3: "--"}) == [
        Answer(7, 11, 12),
        Answer(18, 20, 22),
    ]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((3, 7), (1, 3)),
        ((4, 7), (1, 3)),  # a token that began before it
        ((3, 6), (1, 3)),  # one that goes on after it
        ((5, 7), (2, 3)),
        ((0, 3), (0, 1)),
        ((5, 5), (2, 2)),  # empty
        ((9, 9), (4, 4)),
        ((7, 9), (3, 4)),
    ],
)
def test_tokens_of_an_answer(answer, expected):
    assert tokens_of(Answer(*answer, 9), [(0, 3), (3, 5), (5, 7), (7, 9)]) == expected


def test_tokens_without_characters_and_parts_of_one():
    # four bytes of one character, and a blank that the tokenizer trimmed to nothing
    offsets = [(0, 2), *[(2, 3)] * 4, (4, 4), (4, 6)]
    assert tokens_of(Answer(2, 3, 6), offsets) == (1, 5)
    assert tokens_of(Answer(2, 4, 6), offsets) == (1, 6)
    assert tokens_of(Answer(3, 4, 6), offsets) == (5, 6)
