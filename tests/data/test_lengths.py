import pytest

from rlhf.data.conversations import asked, shown
from rlhf.data.lengths import LongPrompts, fit_prompts, quote, shorten
from rlhf.data.records import DataError, Split
from tests.turns import prompts as questions

PROMPTS = Split(train=questions("a", "b b b", "c c"), heldout=questions("d", "e e e e"))


def words(turns):
    return len(shown(turns).split())


def place(turns):
    every = [prompt.turns for prompt in (*PROMPTS.train, *PROMPTS.heldout)]
    return f"p.jsonl:{1 + every.index(turns)}"


def fitted(rule, limit=2, prompts=PROMPTS):
    return fit_prompts(prompts, words, limit, LongPrompts(rule=rule, place=place))


def test_one_length_rule_drop_leaves_out_counts_and_names():
    kept = fitted("drop")
    assert kept.prompts == Split(train=questions(*("a", "c c")), heldout=questions(*("d",)))
    assert kept.counts == {"prompts_dropped": 2, "prompts_truncated": 0}
    assert kept.warning == (
        "2 of 5 prompts are longer than the 2 tokens that the model's positions leave beside a"
        " response, and are left out (p.jsonl:2, p.jsonl:5)"
    )


def test_one_length_rule_truncate_left_keeps_all_and_counts():
    kept = fitted("truncate_left")
    assert kept.prompts == PROMPTS and kept.limit == 2
    assert kept.counts == {"prompts_dropped": 0, "prompts_truncated": 2}
    assert "keep their last 2 (p.jsonl:2, p.jsonl:5)" in kept.warning


def test_one_length_rule_error_names_each():
    with pytest.raises(DataError) as refusal:
        fitted("error")
    assert [fault.split(": ")[0] for fault in refusal.value.faults] == ["p.jsonl:2", "p.jsonl:5"]


def test_a_side_without_prompts_is_refused():
    with pytest.raises(DataError, match=r"p.jsonl:5\): none is left to evaluate on; lower gen"):
        fitted("drop", prompts=Split(train=questions(*("a",)), heldout=questions(*("e e e e",))))


@pytest.mark.parametrize("limit", [None, 4])
def test_without_long_prompts_nothing_happens(limit):
    kept = fitted("error", limit)
    assert kept.prompts == PROMPTS and kept.warning == ""
    assert kept.counts == {"prompts_dropped": 0, "prompts_truncated": 0}


def test_the_end_is_kept_after_bos():
    assert shorten([1, 5, 6, 7, 8], 3, 1) == [1, 7, 8]
    assert shorten([1, 5, 6, 7, 8], 3, None) == [6, 7, 8]
    assert shorten([4, 5, 6, 7], 3, 1) == [5, 6, 7]
    assert shorten([1, 5, 6], 1, 1) == [6]
    assert shorten([1, 5], 3, 1) == [1, 5]


def test_a_prompt_is_known_by_its_beginning():
    assert quote(asked("a  b\nc")) == '"a b c"'
    assert quote(asked("x" * 50)) == f'"{"x" * 37}..."'
