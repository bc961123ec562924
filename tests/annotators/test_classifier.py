import math

import pytest

from rlhf.annotators.base import Comparison, Live
from rlhf.annotators.classifier import ClassifierAnnotator
from rlhf.data.conversations import Prompt, asked
from rlhf.rundir.errors import ModelError
from tests.rewards.test_classifier import LABELS, logits_of, save


@pytest.fixture
def bert(tmp_path, tokenizer):
    return save(tmp_path, tokenizer, "bert", id2label=LABELS, pad_token_id=tokenizer.pad_token_id)


def test_the_difference_of_two_logits(bert):
    annotator = ClassifierAnnotator(bert, "POSITIVE", temperature=2.0, batch_size=3).bind(Live())
    texts = [("a b", " c", " d"), ("h", " a a", " b b b")]
    pairs = [
        Comparison(prompt=Prompt(turns=asked(prompt)), first=first, second=second)
        for prompt, first, second in texts
    ]
    expected = []
    for prompt, *answers in texts:
        a, b = (float(logits_of(annotator.scorer, prompt, answer)[2]) for answer in answers)
        expected.append(1 / (1 + math.exp(-(a - b) / 2)))
    assert annotator.prefer(pairs, None).tolist() == pytest.approx(expected, abs=1e-5)
    assert annotator.identity() == ClassifierAnnotator(bert, "NEGATIVE").identity()


def test_a_label_that_there_is_not(bert):
    with pytest.raises(ModelError, match="has no such label; it has 0"):
        ClassifierAnnotator(bert, "GOOD")
