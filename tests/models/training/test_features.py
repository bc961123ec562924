import torch

from rlhf.models.load import scalar_model_from
from rlhf.models.training.features import Features
from tests.conftest import tiny

TEXTS = [(3, 4), (5, 6, 7, 2), (3, 4), (4,)]


def test_features_are_what_the_score_reads(tokenizer, architecture):
    """Each text once, whatever side it is padded on when it is asked for."""
    scalar = scalar_model_from(tiny(tokenizer, architecture), seed=0)
    features = Features(scalar, TEXTS, rows=2)
    assert len(features) == 3
    tokens = torch.tensor([[3, 4, 0, 0], [5, 6, 7, 2], [0, 0, 0, 4]])
    mask = torch.tensor([[True, True, False, False], [True] * 4, [False] * 3 + [True]])
    with torch.no_grad():
        read, anew = scalar.read(features.of(tokens, mask)), scalar.score(tokens, mask)
    assert torch.allclose(read, anew, atol=1e-5)


def test_features_are_read_within_so_many_tokens(tokenizer):
    """Texts of 1, 2 and 4 tokens with 4 at once: the two short ones, then the long one."""
    scalar, widths = scalar_model_from(tiny(tokenizer), seed=0), []
    whole = Features(scalar, TEXTS, rows=8).states
    scalar.model.base_model.register_forward_pre_hook(
        lambda module, given, named: widths.append(tuple(named["input_ids"].shape)),
        with_kwargs=True,
    )
    split = Features(scalar, TEXTS, rows=8, most_tokens=4).states
    assert widths == [(2, 2), (1, 4)]
    assert all(torch.allclose(split[text], whole[text], atol=1e-5) for text in whole)


def test_features_depend_on_the_set_of_texts_alone(tokenizer):
    scalar = scalar_model_from(tiny(tokenizer), seed=0)
    first = Features(scalar, TEXTS, rows=2).states
    again = Features(scalar, reversed(TEXTS), rows=2).states
    assert first.keys() == again.keys()
    assert all(torch.equal(first[text], again[text]) for text in first)
