import copy

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GemmaConfig,
    GemmaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from rlhf.data.collate import pad
from rlhf.data.tokenizers import word_level
from rlhf.models.files.padding import counted_ids, free_token
from rlhf.models.load import load_scalar_model, scalar_model_from
from tests.conftest import tiny

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
SPELLED = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' }} {{ m.content }}{{ eos_token }}{% endfor %}"
)


@pytest.fixture
def words():
    """<pad> 0, <eos> 1, <unk> 2, and five words: 3 to 7."""
    return word_level(["a a a a b b b c c d"])


def with_special(tokenizer, *tokens, **named):
    own = copy.deepcopy(tokenizer)
    own.add_special_tokens({"additional_special_tokens": list(tokens), **named})
    return own


def test_its_own_pad_where_no_response_ends_with_it(words):
    assert free_token(words, [1], 8) == "<pad>"


def test_another_special_token_where_pad_is_eos_or_a_stop_id(words):
    tokenizer = with_special(words, "<tool>", "<reserved_1>")
    assert free_token(tokenizer, [0], 10) == "<reserved_1>"  # the pad ends responses too
    tokenizer.pad_token = "<eos>"
    assert free_token(tokenizer, [], 10) == "<pad>"  # free again, as its name says
    assert free_token(tokenizer, [0, 9], 10) == "<tool>"
    assert free_token(tokenizer, [0, 8, 9], 10) is None
    assert free_token(tokenizer, [0], 8) is None  # ids 8 and 9 have no row


def test_no_token_that_the_template_writes(words):
    tokenizer = with_special(words, "<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>")
    tokenizer.chat_template = CHATML
    assert counted_ids(tokenizer, [5]) >= {1, 2, 5, 8, 9} and 10 not in counted_ids(tokenizer)
    tokenizer.chat_template = SPELLED  # in parts: only what it renders shows them
    assert {10, 11} <= counted_ids(tokenizer) and 8 not in counted_ids(tokenizer)


def qwen2(tokenizer):
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    return Qwen2ForCausalLM(config)


def gemma(tokenizer):
    config = GemmaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    return GemmaForCausalLM(config)


ROWS = [[3, 4, 1], [5, 3, 6, 4, 3, 1], [4, 4], [6, 1]]  # one never ended


@pytest.mark.parametrize("make", [tiny, "gpt2", qwen2, gemma])
def test_transformers_reads_the_score_that_we_do(make, words, tmp_path):
    """Rows that end in EOS, pad == EOS in the tokenizer, and no other special token is free: one at
    a time and padded, the logit less score_mean is our score."""
    words.pad_token = words.eos_token
    words = with_special(words)
    torch.manual_seed(0)
    model = tiny(words, "gpt2") if make == "gpt2" else make(words)
    scalar = scalar_model_from(model, seed=0)
    ids, mask = pad(ROWS, 1)
    with torch.no_grad():
        scalar.normalize(scalar.score(ids, mask))
        ours = scalar.score(ids, mask)
    assert ours.std(correction=0) == pytest.approx(1, abs=1e-4)
    scalar.fold()
    scalar.save(tmp_path, words, stop_ids=[0])  # the old pad is a stop id as well
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert plain.config.pad_token_id == tokenizer.pad_token_id == 8
    assert plain.get_input_embeddings().weight.shape[0] == 9
    batch = tokenizer.pad({"input_ids": ROWS}, return_tensors="pt")
    assert batch["input_ids"][0].tolist() == [3, 4, 1, 8, 8, 8]
    with torch.no_grad():
        together = plain(**batch).logits.squeeze(1) - plain.config.score_mean
        alone = [plain(input_ids=torch.tensor([row])).logits.item() for row in ROWS]
    assert torch.allclose(together, ours, atol=1e-4)
    assert torch.allclose(torch.tensor(alone) - plain.config.score_mean, ours, atol=1e-4)
    with torch.no_grad():  # a value model that begins from it has the same scale
        assert torch.allclose(load_scalar_model(tmp_path).score(ids, mask), ours, atol=1e-5)
