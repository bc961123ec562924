import pytest

from rlhf.config.messages import did_you_mean, nearest

KEYS = [
    "kl.coef",
    "kl.controller.target",
    "trust_region.target",
    "sft.optimizer.lr",
    "model",
    "model.hidden_size",
    "stage",
]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("modle", "model"),
        ("kl.coeff", "kl.coef"),
        ("kl.controler.targt", "kl.controller.target"),
        ("lr", "sft.optimizer.lr"),
        ("lrr", "sft.optimizer.lr"),
        ("model.hidden", "model.hidden_size"),
        ("Kl.Coef", "kl.coef"),
        ("zebra", None),
        ("kl.controller.horizon", None),
    ],
)
def test_nearest(word, meant):
    assert nearest(word, KEYS) == meant


def test_sentence():
    assert did_you_mean("modle", KEYS) == "; did you mean model?"
    assert did_you_mean("zebra", KEYS) == ""
