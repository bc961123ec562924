import json
import logging

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from rlhf.data.conversations import Turn
from rlhf.rewards.classifier import ClassifierScorer, label_index
from rlhf.rewards.texts import Row
from rlhf.rundir.errors import ModelError
from tests.conftest import tiny

LABELS = {0: "NEGATIVE", 1: "NEUTRAL", 2: "POSITIVE"}
ROWS = [("a b", " c"), ("a", " b c d e f"), ("h g", " f"), ("a b c", " a a a")]
TEMPLATE = """{%- for m in messages -%}
{{ 'a ' if m.role == 'user' else 'b ' }}{{ m.content | trim }}{{ ' ' }}
{%- endfor -%}h"""


def save(folder, tokenizer, kind, **settings):
    """A random classifier whose scores differ."""
    torch.manual_seed(0)
    shared = {"vocab_size": len(tokenizer), "hidden_size": 16, "num_hidden_layers": 2, **settings}
    shared |= {"intermediate_size": 32, "num_attention_heads": 2}
    if kind == "bert":
        model = BertForSequenceClassification(BertConfig(max_position_embeddings=32, **shared))
    else:
        model = LlamaForSequenceClassification(LlamaConfig(num_key_value_heads=2, **shared))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def bert(tmp_path, tokenizer):
    return save(tmp_path, tokenizer, "bert", id2label=LABELS, pad_token_id=tokenizer.pad_token_id)


def logits_of(scorer, prompt, response):
    """Of one row alone, by plain transformers."""
    ids = torch.tensor([scorer.tokenizer(prompt + response)["input_ids"]])
    with torch.no_grad():
        return scorer.model(input_ids=ids).logits[0]


def given(scorer, responses_of, rows=ROWS):
    return scorer(responses_of([r for _, r in rows], [p for p, _ in rows])).tolist()


def test_logit_probability_and_log_probability(bert, responses_of):
    scorer = ClassifierScorer(bert, "POSITIVE")
    logits = torch.stack([logits_of(scorer, *row) for row in ROWS])
    softmax = logits.exp() / logits.exp().sum(1, keepdim=True)
    assert given(scorer, responses_of) == pytest.approx(logits[:, 2].tolist(), abs=1e-5)
    scorer = ClassifierScorer(bert, 0, "probability")
    assert given(scorer, responses_of) == pytest.approx(softmax[:, 0].tolist(), abs=1e-5)
    scorer = ClassifierScorer(bert, "neutral", "log_prob", batch_size=3)
    assert given(scorer, responses_of) == pytest.approx(softmax[:, 1].log().tolist(), abs=1e-5)


def test_labels_that_do_not_exclude_each_other(tmp_path, tokenizer, responses_of):
    path = save(
        tmp_path,
        tokenizer,
        "bert",
        id2label=LABELS,
        pad_token_id=tokenizer.pad_token_id,
        problem_type="multi_label_classification",
    )
    scorer = ClassifierScorer(path, 1, "probability")
    logits = torch.stack([logits_of(scorer, *row) for row in ROWS])[:, 1]
    assert given(scorer, responses_of) == pytest.approx((1 / (1 + (-logits).exp())).tolist())


@pytest.mark.parametrize("pad", ["pad", "eos", None])
def test_a_decoder_scores_a_row_as_it_does_alone(tmp_path, tokenizer, responses_of, pad):
    """Whatever the model pads with: its own id, that of EOS, or none at all."""
    ids = {"pad": tokenizer.pad_token_id, "eos": tokenizer.eos_token_id, None: None}
    path = save(tmp_path, tokenizer, "llama", num_labels=1, pad_token_id=ids[pad])
    scorer = ClassifierScorer(path)
    alone = [float(logits_of(scorer, *row)[0]) for row in ROWS]
    assert given(scorer, responses_of) == pytest.approx(alone, abs=1e-5)
    assert max(alone) - min(alone) > 0.01
    sigmoid = ClassifierScorer(path, score="probability")
    expected = [1 / (1 + 2.718281828459045**-x) for x in alone]
    assert given(sigmoid, responses_of) == pytest.approx(expected, abs=1e-5)


def test_what_it_reads(bert, tokenizer):
    def text(scorer, turns=()):
        row = Row(prompt="a b", response=" c", reference=None, turns=turns)
        (ids,) = scorer.texts([row])
        return scorer.tokenizer.decode(ids).split()

    scorer = ClassifierScorer(bert, 0)
    assert text(scorer) == ["a", "b", "c"]
    assert text(ClassifierScorer(bert, 0, text="{response} e {prompt} e")) == [*"ceabe"]
    assert text(ClassifierScorer(bert, 0, text="{response}")) == ["c"]
    scorer.tokenizer.chat_template = TEMPLATE
    several = (Turn("user", "c"), Turn("assistant", "d"), Turn("user", "e"))
    assert text(scorer, several) == [*"acbdaebch"]


def test_long_texts_lose_their_beginning_and_that_is_said(bert, responses_of, caplog):
    scorer = ClassifierScorer(bert, 0, max_length=3)
    rows = [("a b c d", " e"), ("c d", " e")]
    ids = torch.tensor([scorer.tokenizer("a b c d e")["input_ids"][-3:]])
    with torch.no_grad():
        alone = float(scorer.model(input_ids=ids).logits[0, 0])
    with caplog.at_level(logging.WARNING):
        scores = given(scorer, responses_of, rows)
        given(scorer, responses_of, rows)
    assert scores[0] == pytest.approx(alone, abs=1e-5)
    (said,) = caplog.records
    assert "reads at most 3 tokens: 1 of 2 texts were longer and lost their" in said.getMessage()
    assert ClassifierScorer(bert, 0).max_length == 32  # its positions


def test_it_is_loaded_once_and_without_dropout(bert, responses_of):
    scorer = ClassifierScorer(bert, 0)
    assert "model" not in vars(scorer)
    scorer.prepare()
    model = scorer.model
    assert given(scorer, responses_of) == given(scorer, responses_of)
    assert scorer.model is model and not model.training


def test_what_it_was_decides_the_run(bert, tmp_path):
    scorer = ClassifierScorer(bert, 0)
    before = scorer.identity()
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= before.keys()
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert scorer.identity() != before


def test_a_model_without_a_head_is_refused(tmp_path, tokenizer):
    """Its weights would be drawn at random; of a policy it is not even asked which label."""
    tiny(tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is a LlamaForCausalLM; expected a sequence classifier"):
        ClassifierScorer(str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    config["architectures"] = ["LlamaForSequenceClassification"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"is no classifier: it has no weights score.weight"):
        ClassifierScorer(str(tmp_path), 0).prepare()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"label": None}, r"label is not set, and .* has 3: 0 \(NEGATIVE\), 1 \(NEUTRAL\), 2 "),
        ({"label": "joy"}, r"label=joy: .* has no such label; it has 0 \(NEGATIVE\)"),
        ({"label": 3}, "label=3: .* has no such label"),
        ({"label": 0, "text": "{prompt}"}, r"has no \{response\}"),
        ({"label": 0, "metric": "gold"}, "reward/gold is the name of another number"),
    ],
)
def test_refusals(bert, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        ClassifierScorer(bert, **settings)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(ModelError, match="there is no such folder"):
        ClassifierScorer(str(tmp_path / "nothing"))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"path=.* cannot be loaded"):
        ClassifierScorer(str(tmp_path))
    with pytest.raises(ModelError, match="path=no/such-model: "):
        ClassifierScorer("no/such-model")


def test_label_index():
    assert label_index({0: "score"}, None, "x") == 0
    assert label_index({0: "1", 1: "0"}, 0, "x") == 0
    assert label_index({0: "Toxic", 1: "toxic"}, "toxic", "x") == 1
