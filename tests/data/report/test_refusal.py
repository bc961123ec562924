"""The sentence by which a run is refused says what is lost, and what to set."""

from dataclasses import replace

from rlhf.data.report.refusal import refusals
from tests.data.report.specs import LIMITED, PROMPTS, report


def only(*limits, **changes):
    (sentence,) = refusals(report(*limits, **changes), new_tokens=40)
    return sentence


def test_it_says_the_share_the_lengths_the_setting_and_how_to_allow_it():
    assert only() == (
        "sft: 64.0% of its demonstrations do not fit sft.max_length=64 (allowed:"
        " data.max_lost=0.05): of 100 rows 60 lose the end of an answer, 4 are left out. Their"
        " tokens: median 212, 95 % at most 358, longest 578. Set sft.max_length=368 (578 for every"
        " row); or allow it: data.max_lost=1"
    )


def test_what_is_allowed_is_not_refused():
    assert refusals(report(max_lost=0.64), new_tokens=40) == []
    assert refusals(report(max_lost=0.63), new_tokens=40) != []
    assert refusals(report(max_lost=1.0), new_tokens=40) == []


def test_under_error_each_row_is_named_instead():
    assert refusals(report(replace(LIMITED, rule="error")), new_tokens=40) == []


def test_a_model_that_reads_fewer_tokens_than_are_needed():
    assert "Set sft.max_length=368 (400 for all that the model reads);" in only(positions=400)
    assert "Set sft.max_length=360;" in only(positions=360)
    assert "Set sft.max_length=300: 358 would do, but the model reads no more;" in only(
        positions=300
    )


def test_pairs_with_equal_sides_are_told():
    pairs = replace(LIMITED, stage="reward_model", part="demonstrations", dropped=40, same=39)
    assert "40 are left out (39 as both sides are the same after the cut)." in only(pairs)


def test_a_sample_is_said_to_be_one():
    assert "of 100 rows (evenly spaced among 100) 30 are left out." in only(PROMPTS)


def test_prompts_have_a_limit_of_their_own_or_the_positions():
    own = replace(PROMPTS, bound="generation.max_prompt_tokens=64")
    assert "Set generation.max_prompt_tokens=368 (460 for all that" in only(own, positions=500)
    assert "Set generation.max_prompt_tokens=260: 358 would do" in only(own, positions=300)
    left = replace(PROMPTS, bound="the 340 tokens that the model's positions leave", limit=340)
    assert "Set generation.max_new_tokens=22, or take a model" in only(left, positions=380)
    # one that is read after a response
    closed = replace(left, limit=339)
    assert "Set generation.max_new_tokens=21, or take a model" in only(closed, positions=380)
    left = replace(left, limit=310)
    assert "Take a model that reads more than 350 tokens;" in only(left, positions=350)
