"""What is read of responses: their text, and the whole conversation that a reward model scores."""

import torch

from rlhf.data.collate import pad
from rlhf.rollout.engines.base import Stops, before_stop, closed, decode
from rlhf.types import PromptBatch, Rollout
from tests.turns import prompts

EOS, END, BREAK = 1, 5, 6


def rollout_of(rows, ended):
    """Responses (ids) to the prompts [3] and [4, 3]."""
    asked, asked_mask = pad([[3], [4, 3]], 0, side="left")
    tokens, mask = pad(rows, 0)
    return Rollout(
        prompt=PromptBatch(tokens=asked, mask=asked_mask, prompts=prompts("q", "r")),
        tokens=tokens,
        mask=mask,
        logp=mask.float(),
        ended=torch.tensor(ended),
    )


def scored(rollout, stops, tokenizer=None):
    """The ids of each row that the reward model reads."""
    tokens, mask = closed(rollout, tokenizer, stops)
    return [row[counted].tolist() for row, counted in zip(tokens, mask, strict=True)]


def test_what_the_template_writes_after_an_answer_stands_after_each_that_ended():
    stops = Stops(ids=(END, EOS), closing=(BREAK, 7))
    rollout = rollout_of([[8, END], [9, 9, 9]], [True, False])
    assert scored(rollout, stops) == [[3, 8, END, BREAK, 7], [4, 3, 9, 9, 9]]
    other = rollout_of([[8, EOS], [END]], [True, True])
    assert scored(other, stops) == [[3, 8, EOS, BREAK, 7], [4, 3, END, BREAK, 7]]


def test_a_response_that_a_string_ended_is_read_as_its_text_and_the_stop_token(tokenizer):
    b, c, d = tokenizer.convert_tokens_to_ids([" b", " c", " d"])
    eos, more = tokenizer.eos_token_id, {"closing": (BREAK,)}
    rollout = rollout_of([[b, c, d], [b, c, eos]], [True, True])
    whole = [4, 3, b, c, eos, BREAK]
    # of a token that holds the answer's end too all is read: here the space before the string
    for text, read in ((" c d", [b]), ("c d", [b, c]), (" d", [b, c]), (" b c d", [])):
        stops = Stops(ids=(eos,), texts=(text,), **more)
        assert scored(rollout, stops, tokenizer) == [[3, *read, eos, BREAK], whole]
    # one that was cut off, and one that ended with a stop token
    cut = rollout_of([[b, c], [b, eos]], [False, True])
    stops = Stops(ids=(eos,), texts=(" d",), **more)
    assert scored(cut, stops, tokenizer) == [[3, b, c], [4, 3, b, eos, BREAK]]


def test_without_more_to_write_the_rows_stay_as_they_are():
    rollout = rollout_of([[8, EOS], [9, 9]], [True, False])
    tokens, mask = closed(rollout, None, Stops(ids=(EOS,)))
    assert torch.equal(tokens, rollout.sequence) and torch.equal(mask, rollout.attention)


def test_texts_are_without_what_ended_them_and_what_the_template_writes_before(tokenizer):
    """ids: 3 is a, then the words with a space before."""
    words = tokenizer.convert_tokens_to_ids([" b", " c", " d"])
    ended = tokenizer.eos_token_id
    rollout = rollout_of([[*words, ended], words[:2]], [True, False])
    assert decode(rollout, tokenizer, Stops(ids=(ended,))) == [" b c d", " b c"]
    assert decode(rollout, tokenizer, Stops(ids=(words[2], ended))) == [" b c d", " b c"]
    assert decode(rollout, tokenizer, Stops(ids=(ended,), texts=(" c",))) == [" b", " b"]
    assert decode(rollout, tokenizer, Stops(ids=(ended,), lead=" ")) == ["b c d", "b c"]
    assert decode(rollout, tokenizer, Stops(ids=(ended,), lead="x")) == [" b c d", " b c"]


def test_the_first_stop_string_ends_a_text():
    assert before_stop("a stop b end", ("end", " stop")) == "a"
    assert before_stop("a b", ("end",)) == before_stop("a b", ()) == "a b"
