import pytest
from transformers import AutoConfig, BertConfig, OPTConfig

from rlhf.data.tokenizers import word_level
from rlhf.digests import digest
from rlhf.models.files.matching import quantized, scalar_faults, tokenizer_faults
from rlhf.models.load import outline
from tests import outside


def faults(policy, other, *templates):
    return [*tokenizer_faults(policy, other, templates or ["plain"])]


def test_equal_ones_and_another_pad():
    """A pad is masked wherever it stands: it may be another token, or one more."""
    policy, other = outside.bpe(), outside.bpe()
    assert faults(policy, other) == []
    other.add_special_tokens({"pad_token": "<|pad|>"})
    assert len(other) == len(policy) + 1 and faults(policy, other) == []


def test_other_words():
    """Ids 0 to 2 are <pad>, <eos>, <unk>; `a` is 3 here and 4 there, ` b` has no id there."""
    policy, other = word_level(["a b"]), word_level(["a c", "c c"])
    first, *rest = faults(policy, other)
    # of a: 4 (space b comes first), 3 ...
    ours, theirs = policy.get_vocab(), other.get_vocab()
    differ = sorted(t for t in {*ours, *theirs} if ours.get(t) != theirs.get(t))
    assert first.startswith(
        f"the vocabulary has {len(theirs)} tokens, the policy's {len(ours)}: {len(differ)} have"
        f" other ids ({differ[0]!r} is"
    )
    assert "no token" in first and rest == []


def test_merges_are_named_where_the_vocabulary_is_the_same():
    """The same 259 tokens, and `th` is made of nothing there."""
    policy, other = outside.bpe(259, ["th th th"]), outside.bpe(259, ["th th th"])
    assert policy.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()
    from tokenizers import Tokenizer

    written = other.backend_tokenizer.to_str().replace('["t","h"]', "").replace('"t h"', "")
    other._tokenizer = Tokenizer.from_str(written)
    (fault,) = faults(policy, other)
    assert fault.startswith("tokenizer.model has the sha256 ")


def test_how_text_is_cut():
    from tokenizers import normalizers

    policy, other = outside.bpe(), outside.bpe()
    other.backend_tokenizer.normalizer = normalizers.Lowercase()
    (fault,) = faults(policy, other)
    assert fault == (
        f"tokenizer.normalizer has the sha256 {digest({'type': 'Lowercase'})[:12]}, the policy's"
        f" {digest(None)[:12]}"
    )


def test_special_ids():
    policy, other = outside.bpe(), outside.bpe()
    other.eos_token = "a"
    policy.bos_token = "b"
    number = policy.get_vocab()
    assert faults(policy, other) == [
        f"bos_token_id is none, the policy's is {number['b']} ('b')",
        f"eos_token_id is {number['a']} ('a'), the policy's is 1 ('<eos>')",
    ]


def test_templates():
    """The run's decides: in any of its spellings it is the same; none is none to compare."""
    policy, other = outside.bpe(), outside.bpe()
    assert faults(policy, other, "{{ messages }}") == []
    other.chat_template = "{{ messages }}!"
    assert faults(policy, other, "{{ messages }}", "{{ messages }}!") == []
    (fault,) = faults(policy, other, "{{ messages }}")
    assert fault.startswith(
        f"chat_template has the sha256 {digest('{{ messages }}!')[:12]}, the run's"
        f" {digest('{{ messages }}')[:12]}: "
    )


@pytest.mark.parametrize("make", [outside.llama, outside.gpt2])
def test_a_classifier_that_can_be_a_reward_model(make):
    words = outside.bpe()
    config = make(words, num_labels=1)
    assert [*scalar_faults(config, outline(config, scalar=True))] == []


def test_classifiers_that_cannot():
    words = outside.bpe()
    bert = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    two, head = scalar_faults(bert, outline(bert, scalar=True))
    assert two == "num_labels is 2, expected 1: a reward is one number"
    assert head.startswith(
        "model_type is bert, and BertForSequenceClassification has no head `score`"
    )
    plain = outside.llama(words, num_labels=1)
    packed = outside.llama(words, num_labels=1, quantization_config={"quant_method": "gptq"})
    assert quantized(packed).startswith("quantization_config is set") and not quantized(plain)


def test_a_label_count_that_nothing_says_is_two(tmp_path):
    """As transformers has it: its own config.json leaves out what is usual."""
    outside.saved(tmp_path, outside.llama(outside.bpe()), scalar=True)
    assert AutoConfig.from_pretrained(tmp_path).num_labels == 2


def test_opt_is_not_asked_for_positions():
    config = OPTConfig(
        vocab_size=300,
        hidden_size=8,
        num_hidden_layers=1,
        ffn_dim=8,
        num_attention_heads=1,
        word_embed_proj_dim=8,
        num_labels=1,
    )
    model = outline(config, scalar=True)
    assert model is not None and hasattr(model, "score")
    assert [*scalar_faults(config, model)] == []
