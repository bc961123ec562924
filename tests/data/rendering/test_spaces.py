"""Tokenizers that put a space before a text (Llama-1 and -2, Mistral), and text that goes on."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from rlhf.rollout.engines.base import in_context
from tests.data.rendering import families
from tests.data.rendering.conversations import turns
from tests.data.rendering.families import Family
from tests.turns import rendering

PAIRS = [("the film", " was good"), ("the film ", "was good"), ("the film\n", "was good")]


def by_words(scheme):
    """One token a word, with ▁ for the space before it."""
    words = ["▁the", "▁film", "▁was", "▁good", "▁", "\n", "the", "film", "was", "good"]
    ids = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *words])}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=True),
            pre_tokenizers.Split("\n", behavior="isolated"),
        ]
    )
    backend.decoder = decoders.Metaspace(replacement="▁", prepend_scheme=scheme)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.mark.parametrize("scheme", ["always", "first"])
def test_tokens_by_hand(scheme):
    tokenizer = by_words(scheme)
    rows = [turns(("user", a), ("assistant", b)) for a, b in PAIRS]
    rendered = rendering(tokenizer).conversations(rows)
    tokens = [tokenizer.convert_ids_to_tokens(row.ids) for row in rendered]
    assert tokens == [
        ["▁the", "▁film", "▁was", "▁good", "</s>"],
        ["▁the", "▁film", "▁was", "▁good", "</s>"],
        ["▁the", "▁film", "\n", "was", "▁good", "</s>"],
    ]
    # the token that holds the answer's first letter is the answer's
    assert [row.answers for row in rendered] == [((2, 5),), ((2, 5),), ((3, 6),)]


@pytest.mark.parametrize("kind", ["bytes", "bytes_gpt2", "always", "first", "legacy", "never"])
@pytest.mark.parametrize(("prompt", "completion"), PAIRS)
def test_prompt_and_completion_come_back_without_further_spaces(kind, prompt, completion):
    tokenizer = families.build(Family(eos="</s>", bos="<s>", kind=kind, adds_bos=True))
    made = rendering(tokenizer)
    row = made.conversations([turns(("user", prompt), ("assistant", completion))])[0]
    assert tokenizer.decode(row.ids, skip_special_tokens=True) == prompt + completion
    assert row.ids == [*tokenizer(prompt + completion)["input_ids"], tokenizer.eos_token_id]
    if prompt[-1] != " ":  # else the space is the answer's first token's
        assert row.ids[: row.answers[0][0]] == made.prompt(turns(("user", prompt)))
        alone = row.ids[row.answers[0][0] : -1]
        assert in_context(alone, tokenizer, made.anchor) == completion


@pytest.mark.parametrize("kind", ["bytes", "always", "first", "legacy", "never"])
def test_a_response_that_was_drawn_renders_to_the_ids_that_were_drawn(kind):
    """Pairs sampled from the policy are read as text and rendered for the reward model."""
    tokenizer = families.build(Family(eos="</s>", bos="<s>", kind=kind, adds_bos=True))
    made, question = rendering(tokenizer), turns(("user", "What is the"))
    for drawn in (" capital of France", ",\nthe sky", "?", " é 🦜 x", "\n\n  x"):
        row = made.conversations([(*question, *turns(("assistant", drawn)))])[0]
        first, after = row.answers[0]
        text = in_context(row.ids[first : after - 1], tokenizer, made.anchor)
        assert text == drawn
        assert made.conversations([(*question, *turns(("assistant", text)))])[0] == row
