import pytest

from rlhf.data.conversations import asked, shown
from rlhf.data.lengths import (
    Fit,
    Limit,
    LongPrompts,
    PromptLimit,
    fit_prompts,
    quote,
    shorten,
)
from rlhf.data.records import DataError, Split
from tests.turns import prompts

PROMPTS = Split(train=prompts("a", "b b b", "c c"), heldout=prompts("d", "e e e e"))


def words(every):
    return [len(shown(turns).split()) for turns in every]


def place(turns):
    every = [prompt.turns for prompt in (*PROMPTS.train, *PROMPTS.heldout)]
    return f"p.jsonl:{1 + every.index(turns)}"


def fitted(rule, limit=2, prompts=PROMPTS, **bound):
    bound = PromptLimit(**(bound or {"left": limit}))
    return fit_prompts(prompts, words, bound, LongPrompts(rule=rule, place=place))


def test_one_length_rule_drop_leaves_out_counts_and_names():
    kept = fitted("drop")
    assert kept.prompts == Split(train=prompts("a", "c c"), heldout=prompts("d"))
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
        fitted("drop", prompts=Split(train=prompts("a"), heldout=prompts("e e e e")))


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


def test_a_limit_of_prompts_of_their_own_is_named_where_it_is_the_smaller_one():
    own = fitted("drop", set=2, left=3)
    assert own.limit == 2
    assert own.warning.startswith(
        "2 of 5 prompts are longer than generation.max_prompt_tokens=2, and are left out"
    )
    assert fitted("drop", set=3, left=2).warning == fitted("drop").warning
    assert fitted("drop", set=None, left=None).limit is None
    with pytest.raises(DataError, match="none is left to evaluate on; raise it, or set"):
        fitted("drop", set=2, prompts=Split(train=prompts("a"), heldout=prompts("e e e e")))


# --- rows of a stage: 6 tokens at most, a prompt of p tokens, answers of a tokens each

IDS = [*"pqrst", *"abcdef"]


def limit(rule, long="drop", most=6):
    return Limit(most=most, rule=rule, long=LongPrompts(rule=long), stage="sft")


@pytest.mark.parametrize("rule", ["cut", "drop", "truncate_left", "error"])
def test_a_row_that_fits_is_whole_under_every_rule(rule):
    assert limit(rule).fit(3, 3) == Fit()
    assert Fit()(IDS) == IDS


@pytest.mark.parametrize(
    ("rule", "prompt", "answer", "fate", "kept"),
    [
        ("cut", 5, 3, "cut", "pqrsta"),  # the end of the answer goes
        ("cut", 6, 1, "dropped", None),  # the prompt alone fills 6
        ("drop", 5, 3, "dropped", None),
        ("truncate_left", 5, 3, "truncated", "rstabc"),  # 2 of the prompt go
        ("truncate_left", 5, 6, "truncated", "tabcde"),  # its last token stays; the end goes
        ("error", 5, 3, "dropped", None),
    ],
)
def test_policies_of_long_rows(rule, prompt, answer, fate, kept):
    fit = limit(rule).fit(prompt, answer)
    assert fit.fate == fate
    if kept:
        assert "".join(fit(IDS)) == kept


def test_a_bos_stays_at_the_head_while_there_is_room_for_more():
    """Of BOS + 4 tokens and an answer of 3, six fit: BOS, 2 of the prompt, the answer."""
    fit = limit("truncate_left").fit(5, 3, head=1)
    assert "".join(fit(IDS)) == "pstabc"
    assert "".join(limit("truncate_left").fit(5, 6, head=1)(IDS)) == "tabcde"


def test_under_cut_a_full_prompt_is_a_matter_of_on_long_prompt():
    assert limit("cut", "truncate_left", 5).fit(5, 2) == Fit(fate="truncated", most=5, left=2)
    assert limit("cut", "drop", 5).fit(5, 2).fate == "dropped"


def test_error_names_each_row_with_its_length():
    rows = [("d.jsonl:1", 2, 6), ("d.jsonl:2", 2, 9), ("d.jsonl:7", 6, 8)]
    with pytest.raises(DataError) as refusal:
        limit("error").refuse(rows)
    assert refusal.value.faults == [
        f"d.jsonl:{line}: its {tokens} tokens are more than sft.max_length=6 (sft.on_long=error;"
        " cut takes off its end, drop leaves it out, truncate_left takes off the beginning of its"
        " prompt)"
        for line, tokens in ((2, 9), (7, 8))
    ]
    with pytest.raises(DataError, match=r"^d.jsonl:7: its prompt alone fills sft.max_length=6"):
        limit("cut", "error").refuse(rows)
    limit("drop", "error").refuse(rows)
