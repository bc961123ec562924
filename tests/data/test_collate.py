import torch

from rlhf.data.collate import (
    collate_demonstrations,
    collate_preferences,
    encode_demonstrations,
    encode_preferences,
    encode_row,
    pad,
    within,
)
from rlhf.data.lengths import Limit, LongPrompts
from rlhf.data.rendering.spans import Rendered
from tests.turns import demonstration, preference, prompt_batch, rendering


def test_pad_on_either_side():
    tokens, mask = pad([[1, 2, 3], [4]], 9)
    assert tokens.tolist() == [[1, 2, 3], [4, 9, 9]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    tokens, mask = pad([[1, 2, 3], [4]], 9, side="left")
    assert tokens.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert mask.tolist() == [[True, True, True], [False, False, True]]


def test_pad_takes_rows_of_tensors_and_empty_ones():
    tokens, mask = pad([torch.tensor([1, 2]), torch.tensor([], dtype=torch.long)], 9)
    assert tokens.tolist() == [[1, 2], [9, 9]] and mask.sum(1).tolist() == [2, 0]


def test_ranges_become_masks():
    """Two that touch are one."""
    mask = within([[(0, 1), (1, 2), (3, 4)], [], [(2, 4)]], 4)
    assert mask.int().tolist() == [[1, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 1]]


def alone(tokenizer, prompt, completion, max_length, rule="cut"):
    rendered = rendering(tokenizer).conversations([demonstration(prompt, completion).turns])
    return encode_row(rendered, Limit(most=max_length, rule=rule))[0]


def test_a_sequence_is_prompt_completion_eos(tokenizer):
    row = alone(tokenizer, "a b", " c d", 10)
    ids = tokenizer("a b c d", add_special_tokens=False)["input_ids"]
    assert row.ids == (*ids, tokenizer.eos_token_id)
    assert row.prompt_length == 2 and not row.cut


def test_a_long_row_is_cut_and_says_so_and_has_no_eos(tokenizer):
    row = alone(tokenizer, "a b", " c d e f", 4)
    assert row.cut and len(row.ids) == 4 and tokenizer.eos_token_id not in row.ids


def test_the_loss_counts_the_completion_and_its_eos_only(tokenizer):
    demonstrations = [
        demonstration("a b", " c"),
        demonstration("a", " c d e"),
    ]
    rows = encode_demonstrations(rendering(tokenizer), demonstrations, Limit(most=10))
    batch = collate_demonstrations(rows, tokenizer.pad_token_id, train_on_prompt=False)
    assert batch.loss_mask.tolist() == [
        [False, False, True, True, False],
        [False, True, True, True, True],
    ]
    whole = collate_demonstrations(rows, tokenizer.pad_token_id, train_on_prompt=True)
    assert torch.equal(whole.loss_mask, whole.attention)


def test_pad_equals_eos_leaves_the_real_eos_counted(tokenizer):
    demonstrations = [
        demonstration("a", " b"),
        demonstration("a", " b c d"),
    ]
    rows = encode_demonstrations(rendering(tokenizer), demonstrations, Limit(most=10))
    batch = collate_demonstrations(rows, tokenizer.eos_token_id, train_on_prompt=False)
    assert batch.loss_mask[0].tolist() == [False, True, True, False, False]


def test_preferences_keep_their_margin(tokenizer):
    pairs = [
        preference("a", " b", " c d", margin=0.5),
        preference("a", " e", " f"),
    ]
    batch = collate_preferences(
        encode_preferences(rendering(tokenizer), pairs, Limit(most=10)), tokenizer.pad_token_id
    )
    assert batch.margin.tolist() == [0.5, 0.0]
    assert batch.chosen_mask.sum(1).tolist() == [3, 3] and batch.rejected_mask.sum(1).tolist() == [
        4,
        3,
    ]


def test_an_empty_prompt_still_gives_the_model_a_token(tokenizer):
    batch = prompt_batch(tokenizer, ["", "a b"])
    assert batch.mask.tolist() == [[False, True], [True, True]]
    assert batch.tokens[0, 1] == tokenizer.eos_token_id


def test_a_response_that_was_cut_off_has_no_eos(tokenizer):
    (row,) = encode_preferences(
        rendering(tokenizer), [preference("a", " b c", " d", chosen_ended=False)], Limit(most=10)
    )
    assert len(row.chosen.ids) == 3 and tokenizer.eos_token_id not in row.chosen.ids
    assert row.rejected.ids[-1] == tokenizer.eos_token_id


def fates(rows):
    return [row.fate for row in rows]


def test_rows_with_nothing_to_learn_are_dropped(tokenizer):
    long, short = demonstration("a b c d e", " f"), demonstration("a", " b")
    rows = encode_demonstrations(rendering(tokenizer), [long, short], Limit(most=4))
    assert fates(rows) == ["dropped", "whole"]
    assert [(row.whole_prompt, row.whole) for row in rows] == [(5, 7), (1, 3)]


def test_pairs_that_are_the_same_after_the_cut_are_dropped(tokenizer):
    """Prompt 1 + answers of 3 and EOS: at 3 tokens both are "a b c", at 4 the one ends in d."""
    pair = preference("a", " b c d", " b c e")
    (row,) = encode_preferences(rendering(tokenizer), [pair], Limit(most=3))
    assert row.same and row.fate == "dropped"
    (row,) = encode_preferences(rendering(tokenizer), [pair], Limit(most=4))
    assert not row.same and row.fate == "cut" and row.chosen.cut and row.rejected.cut


def test_a_pair_is_cut_where_one_of_its_sides_is(tokenizer):
    (row,) = encode_preferences(
        rendering(tokenizer), [preference("a", " b", " b c d")], Limit(most=4)
    )
    assert row.fate == "cut" and not row.chosen.cut and row.rejected.cut


def test_earlier_answers_move_with_a_prompt_that_loses_its_beginning():
    """Ids 10 to 15: a question, an answer of 2 tokens, a question, an answer of 2."""
    rendered = [Rendered(ids=[*range(10, 16)], answers=((1, 3), (4, 6)), ends=(2, 5))]
    at = {
        (most, bos): encode_row(rendered, Limit(most=most, rule="truncate_left"), bos)[0]
        for most, bos in ((5, None), (3, None), (5, 10))
    }
    assert at[5, None].ids == (11, 12, 13, 14, 15) and at[5, None].answers == ((0, 2), (3, 5))
    assert at[3, None].ids == (13, 14, 15) and at[3, None].answers == ((1, 3),)
    # 10 is BOS: it stays, the first token of the first answer goes
    assert at[5, 10].ids == (10, 12, 13, 14, 15) and at[5, 10].answers == ((1, 2), (3, 5))


# --- prompts that leave no room for a completion


def end(most):
    return Limit(most=most, long=LongPrompts(rule="truncate_left"))


def ids(tokenizer, text):
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_one_length_rule_for_prompts_without_room(tokenizer):
    """Four tokens of prompt at max_length 4. Its end is kept: 4 - 2 tokens, as " f" and EOS are
    2."""
    short, long = (demonstration(p, " f") for p in ("a", "a b c d"))
    rows = encode_demonstrations(rendering(tokenizer), [short, long], Limit(most=4))
    assert fates(rows) == ["whole", "dropped"]
    _, row = encode_demonstrations(rendering(tokenizer), [short, long], end(4))
    assert row.ids == (*ids(tokenizer, "a b c d f")[2:], tokenizer.eos_token_id)
    assert row.fate == "truncated" and row.prompt_length == 2 and not row.cut


def test_a_completion_longer_than_all_leaves_the_prompts_last_token(tokenizer):
    row = alone(tokenizer, "a b c d", " e f g h", 4, "truncate_left")
    assert row.ids == ids(tokenizer, "a b c d e f g h")[3:7] and row.cut


def test_both_sides_of_a_pair_keep_the_same_prompt(tokenizer):
    """The longer one, " e f" and EOS, needs 3 of 5."""
    pair = preference("a b c d g", " e f", " h")
    rows = encode_preferences(rendering(tokenizer), [pair], Limit(most=5))
    assert fates(rows) == ["dropped"]
    (row,) = encode_preferences(rendering(tokenizer), [pair], end(5))
    for side, text in ((row.chosen, " e f"), (row.rejected, " h")):
        assert side.ids == (
            *ids(tokenizer, "a b c d g")[3:],
            *ids(tokenizer, text),
            tokenizer.eos_token_id,
        )


def test_prompts_are_read_from_their_end(tokenizer):
    batch = prompt_batch(tokenizer, ["a b c d", "e"], 2)
    assert batch.tokens[0].tolist() == list(ids(tokenizer, "a b c d")[2:])
    assert batch.mask.tolist() == [[True, True], [False, True]]
    assert batch.texts == ("a b c d", "e")
