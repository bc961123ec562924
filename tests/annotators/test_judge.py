"""A judge's preferences against plain transformers, one row at a time."""

import logging
import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf.annotators.base import Comparison, Live
from rlhf.annotators.judge import JudgeAnnotator
from rlhf.annotators.measures import position_bias
from rlhf.data.conversations import Prompt, asked
from rlhf.rundir.errors import ModelError, RunFailed
from tests.conftest import tiny
from tests.rewards.test_classifier import save

TEMPLATE = "h {prompt} f {first} g {second} h"
WORDS = (" a", " b")
TEXTS = [("a b", "c", "d e f"), ("c", "a a", "b"), ("b b b", "e", "e d")]
PAIRS = [
    Comparison(prompt=Prompt(turns=asked(prompt)), first=first, second=second)
    for prompt, first, second in TEXTS
]
CHAT = """{%- for m in messages -%}
{{ 'd ' }}{{ m.content }}{{ ' e' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ ' c' }}{%- endif -%}"""
SMOLLM2 = Path(
    os.environ.get("RLHF_SMOLLM2", Path(__file__).parents[2] / "outputs" / "models" / "smollm2")
)


@pytest.fixture
def folder(tmp_path, tokenizer):
    tiny(tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def by_hand(folder, question, words=WORDS):
    """softmax of the words' log-probabilities after the question: each read alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    start, totals = len(tokenizer(question)["input_ids"]), []
    for word in words:
        ids = tokenizer(question + word)["input_ids"]
        with torch.no_grad():
            logp = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        totals.append(sum(logp[at - 1, ids[at]] for at in range(start, len(ids))))
    return torch.stack(totals).softmax(0)[0].item()


def judge(folder, **more):
    return JudgeAnnotator(path=str(folder), **{"template": TEMPLATE, "answers": WORDS, **more})


def asked_in(order, prompt, first, second):
    shown = (first, second) if order == "given" else (second, first)
    return TEMPLATE.format(prompt=prompt, first=shown[0], second=shown[1])


@pytest.mark.parametrize("words", [WORDS, (" a b", " c"), (" a b", " a c c")])
def test_preferences_are_those_of_the_words_probabilities(folder, words):
    """Words of one token, of several, and such that begin alike."""
    given = judge(folder, orders="given", answers=words, batch_size=2).prefer(PAIRS, None)
    every = [by_hand(folder, asked_in("given", *each), words) for each in TEXTS]
    assert given.tolist() == pytest.approx(every, abs=1e-5)
    assert max(every) - min(every) > 0.001


def test_both_orders_cancel_what_the_place_is_worth(folder):
    once, both = judge(folder, orders="given"), judge(folder)
    p = [by_hand(folder, asked_in("given", *each)) for each in TEXTS]
    q = [by_hand(folder, asked_in("swapped", *each)) for each in TEXTS]
    expected = [(a + 1 - b) / 2 for a, b in zip(p, q, strict=True)]
    assert both.prefer(PAIRS, None).tolist() == pytest.approx(expected, abs=1e-5)
    bias = [(a + b) / 2 - 0.5 for a, b in zip(p, q, strict=True)]
    assert position_bias(once, PAIRS).tolist() == pytest.approx(bias, abs=1e-5)
    assert max(map(abs, bias)) > 0.01
    assert position_bias(both, PAIRS).abs().max() < 1e-6


def test_the_question_is_the_users_turn_where_there_is_a_chat_template(folder, tokenizer):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    given = judge(folder, orders="given").prefer(PAIRS[:1], None).item()
    question = f"d {asked_in('given', *TEXTS[0])} e c"
    assert given == pytest.approx(by_hand(folder, question), abs=1e-5)


def test_flips_and_votes(folder):
    from rlhf.randomness import generator

    p = judge(folder).prefer(PAIRS, None)
    flipped = judge(folder, flip=0.25).prefer(PAIRS, None)
    assert flipped.tolist() == pytest.approx((0.75 * p + 0.25 * (1 - p)).tolist())
    votes = judge(folder).bind(Live()).prefer(PAIRS, generator(0))
    assert {*votes.tolist()} <= {0.0, 1.0}


def test_a_comparison_that_is_too_long_is_a_tie(folder, caplog):
    with caplog.at_level(logging.WARNING):
        short = judge(folder, max_length=9)
        given = short.prefer(PAIRS, None)
        short.prefer(PAIRS, None)
    whole = judge(folder).prefer(PAIRS, None)
    assert given.tolist() == pytest.approx([0.5, whole[1].item(), 0.5], abs=1e-6)
    (line,) = caplog.messages
    assert line.endswith("reads at most 9 tokens: of 3 comparisons 2 are longer, a tie (said once)")


def test_words_of_which_one_begins_the_other(folder):
    with pytest.raises(RunFailed, match="the one word is the beginning of the other"):
        judge(folder, answers=(" a", " a b")).prefer(PAIRS, None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"template": "{first}"}, r"template has no \{second\}"),
        ({"template": "{first} {second} {third}"}, r"template has \{third\}, which nothing"),
        ({"template": "{first} {second"}, "template cannot be read"),
        ({"answers": ("a", "a")}, "answers expected two different words"),
        ({"answers": ("a",)}, "answers expected two different words"),
        ({"orders": "none"}, "orders must be both or given, got 'none'"),
    ],
)
def test_arguments_that_are_refused(folder, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        judge(folder, **arguments)


def test_models_that_cannot_judge(tmp_path, tokenizer):
    with pytest.raises(ModelError, match="annotator.path=/nowhere/at/all"):
        judge("/nowhere/at/all")
    path = save(tmp_path, tokenizer, "llama", num_labels=1, pad_token_id=0)
    with pytest.raises(ModelError, match="is a LlamaForSequenceClassification; expected a causal"):
        judge(path)


def test_who_it_is_follows_from_its_files(folder):
    before = judge(folder).identity()
    assert judge(folder).identity() == before
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight.add_(1.0)
    model.save_pretrained(folder)
    assert judge(folder).identity() != before


@pytest.mark.slow
def test_smollm2():
    """A real chat model with the template of conf/annotator/judge.yaml."""
    import yaml

    from rlhf.config.plugins.folders import conf_dir

    if not SMOLLM2.is_dir():
        pytest.skip(f"no model in {SMOLLM2}: run make smollm2, or set RLHF_SMOLLM2")
    own = yaml.safe_load((conf_dir() / "annotator" / "judge.yaml").read_text())
    del own["_target_"]
    pairs = [
        Comparison(
            prompt=Prompt(turns=asked("Name the capital of France.")),
            first="The capital of France is Paris.",
            second="asdf " * 5,
        )
    ]
    both = JudgeAnnotator(**{**own, "path": str(SMOLLM2)})
    (p,) = both.prefer(pairs, None).tolist()
    (q,) = both.prefer([each.swapped for each in pairs], None).tolist()
    assert 0 < p < 1 and p + q == pytest.approx(1.0, abs=1e-4)
    once = JudgeAnnotator(**{**own, "path": str(SMOLLM2), "orders": "given"})
    assert abs(position_bias(once, pairs).item()) <= 0.5
