import pytest
import torch

from rlhf.data.collate import (
    collate_demonstrations,
    collate_preferences,
    collate_prompts,
    encode_demonstrations,
    encode_pair,
    encode_preferences,
    pad,
)
from rlhf.data.records import DataError, Demonstration, Preference


def test_pad_on_either_side():
    tokens, mask = pad([[1, 2, 3], [4]], 9)
    assert tokens.tolist() == [[1, 2, 3], [4, 9, 9]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    tokens, mask = pad([[1, 2, 3], [4]], 9, side="left")
    assert tokens.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert mask.tolist() == [[True, True, True], [False, False, True]]


def test_a_sequence_is_prompt_completion_eos(tokenizer):
    row = encode_pair(tokenizer, "a b", " c d", 10)
    ids = tokenizer("a b c d", add_special_tokens=False)["input_ids"]
    assert row.ids == (*ids, tokenizer.eos_token_id)
    assert row.prompt_length == 2 and not row.cut


def test_a_long_row_is_cut_and_says_so_and_has_no_eos(tokenizer):
    row = encode_pair(tokenizer, "a b", " c d e f", 4)
    assert row.cut and len(row.ids) == 4 and tokenizer.eos_token_id not in row.ids


def test_the_loss_counts_the_completion_and_its_eos_only(tokenizer):
    demonstrations = [
        Demonstration(prompt="a b", completion=" c"),
        Demonstration(prompt="a", completion=" c d e"),
    ]
    rows = encode_demonstrations(tokenizer, demonstrations, 10)
    batch = collate_demonstrations(rows, tokenizer.pad_token_id, train_on_prompt=False)
    assert batch.loss_mask.tolist() == [
        [False, False, True, True, False],
        [False, True, True, True, True],
    ]
    whole = collate_demonstrations(rows, tokenizer.pad_token_id, train_on_prompt=True)
    assert torch.equal(whole.loss_mask, whole.attention)


def test_pad_equals_eos_leaves_the_real_eos_counted(tokenizer):
    demonstrations = [
        Demonstration(prompt="a", completion=" b"),
        Demonstration(prompt="a", completion=" b c d"),
    ]
    rows = encode_demonstrations(tokenizer, demonstrations, 10)
    batch = collate_demonstrations(rows, tokenizer.eos_token_id, train_on_prompt=False)
    assert batch.loss_mask[0].tolist() == [False, True, True, False, False]


def test_preferences_keep_their_margin(tokenizer):
    pairs = [
        Preference(prompt="a", chosen=" b", rejected=" c d", margin=0.5),
        Preference(prompt="a", chosen=" e", rejected=" f"),
    ]
    batch = collate_preferences(encode_preferences(tokenizer, pairs, 10), tokenizer.pad_token_id)
    assert batch.margin.tolist() == [0.5, 0.0]
    assert batch.chosen_mask.sum(1).tolist() == [3, 3] and batch.rejected_mask.sum(1).tolist() == [
        4,
        3,
    ]


def test_an_empty_prompt_still_gives_the_model_a_token(tokenizer):
    batch = collate_prompts(tokenizer, ["", "a b"])
    assert batch.mask.tolist() == [[False, True], [True, True]]
    assert batch.tokens[0, 1] == tokenizer.eos_token_id


def test_a_response_that_was_cut_off_has_no_eos(tokenizer):
    (row,) = encode_preferences(
        tokenizer, [Preference(prompt="a", chosen=" b c", rejected=" d", chosen_ended=False)], 10
    )
    assert len(row.chosen.ids) == 3 and tokenizer.eos_token_id not in row.chosen.ids
    assert row.rejected.ids[-1] == tokenizer.eos_token_id


def test_rows_with_nothing_to_learn_are_left_out_and_all_of_them_is_an_error(tokenizer):
    long, short = (
        Demonstration(prompt="a b c d e", completion=" f"),
        Demonstration(prompt="a", completion=" b"),
    )
    assert len(encode_demonstrations(tokenizer, [long, short], 4)) == 1
    with pytest.raises(DataError, match="raise max_length"):
        encode_demonstrations(tokenizer, [long], 4)
    with pytest.raises(DataError, match="raise max_length"):
        encode_preferences(
            tokenizer, [Preference(prompt="a b c d e", chosen=" f", rejected=" g")], 4
        )
