import random
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st
from transformers import AutoTokenizer

from rlhf.data.records import Split, TaskData
from rlhf.data.sources.grammar import all_prompts, complete
from rlhf.data.tokenizers import byte_level_bpe, symbols, training_texts, word_level
from tests.turns import demonstration, preference, prompts

RNG = random.Random(0)
PROMPTS = RNG.choices(all_prompts(), k=400)
COMPLETIONS = [complete(prompt, RNG) for prompt in PROMPTS]


def encode(tokenizer, text):
    return tokenizer(text, add_special_tokens=False).input_ids


@pytest.fixture(scope="module")
def words():
    return word_level([*PROMPTS, *COMPLETIONS])


@pytest.fixture(scope="module")
def pieces():
    return byte_level_bpe([*PROMPTS, *COMPLETIONS], 400)


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_special_tokens_are_distinct_and_come_first(name, request):
    tokenizer = request.getfixturevalue(name)
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<pad>", 0)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<eos>", 1)
    assert tokenizer.bos_token is None
    assert tokenizer.unk_token_id == (2 if name == "words" else None)


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_grammar_text_comes_back_and_parts_join(name, request):
    tokenizer = request.getfixturevalue(name)
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        first, second = encode(tokenizer, prompt), encode(tokenizer, completion)
        assert tokenizer.decode(first) == prompt
        assert tokenizer.decode(second) == completion
        assert tokenizer.decode(first + second) == prompt + completion
        assert tokenizer.decode([*second, 1, 0, 0], skip_special_tokens=True) == completion


def test_a_word_is_a_token_and_the_most_frequent_come_first(words):
    ids = encode(words, " was good, but i liked it.")
    assert [words.decode([i]) for i in ids] == [
        " was",
        " good",
        ",",
        " but",
        " i",
        " liked",
        " it",
        ".",
    ]
    assert 110 <= len(words) <= 180
    assert words.decode([3]) in (" the", ".", " of", " this")
    assert encode(words, " unheard") == [2]


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_save_and_load(name, request, tmp_path):
    tokenizer = request.getfixturevalue(name)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert len(again) == len(tokenizer)
    assert (again.pad_token_id, again.eos_token_id, again.unk_token_id) == (
        tokenizer.pad_token_id,
        tokenizer.eos_token_id,
        tokenizer.unk_token_id,
    )
    for text in COMPLETIONS[:50]:
        assert encode(again, text) == encode(tokenizer, text)
        assert again.decode(encode(again, text)) == text


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bytes_give_every_text_back(text):
    tokenizer = test_bytes_give_every_text_back.__dict__.setdefault(
        "tokenizer", byte_level_bpe(COMPLETIONS, 300)
    )
    assert tokenizer.decode(encode(tokenizer, text)) == text


def test_bpe_is_the_same_in_another_process():
    code = (
        "import hashlib, random; from rlhf.data.sources.grammar import all_prompts, complete; from"
        " rlhf.data.tokenizers import byte_level_bpe\nrng = random.Random(1); texts = [complete(p,"
        " rng) for p in rng.choices(all_prompts(),"
        " k=500)]\nprint(hashlib.sha256(byte_level_bpe(texts,"
        " 500).backend_tokenizer.to_str().encode()).hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert len(runs[0].strip()) == 64 and runs[0] == runs[1]


def test_bpe_of_too_few_tokens():
    with pytest.raises(
        ValueError, match="vocabulary=257: a byte-level tokenizer needs 258 at least"
    ):
        byte_level_bpe(["a"], 257)


def test_symbols():
    tokenizer = symbols("ab")
    assert len(tokenizer) == 4 and tokenizer.unk_token is None
    assert encode(tokenizer, "a b") == encode(tokenizer, " a b") == [2, 3]
    assert tokenizer.decode([2, 3, 1], skip_special_tokens=True) == "a b"
    with pytest.raises(Exception, match="UNK"):
        encode(tokenizer, "c")


def test_training_texts_are_those_of_the_training_side():
    data = TaskData(
        demonstrations=Split(
            train=(demonstration("a", " b"),),
            heldout=(demonstration("x", " y"),),
        ),
        preferences=Split(
            train=(preference("a", " c", " d"),),
            heldout=(preference("x", " y", " z"),),
        ),
        prompts=Split(train=prompts("e"), heldout=prompts("x")),
    )
    assert list(training_texts(data)) == ["a", " b", "a", " c", " d", "e"]
