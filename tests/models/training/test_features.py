import torch

from rlhf.at_once import AtOnce
from rlhf.models.load import scalar_model_from
from rlhf.models.training.features import Features
from tests.conftest import tiny

TEXTS = [(3, 4), (5, 6, 7, 2), (3, 4), (4,)]


def test_features_are_what_the_score_reads(tokenizer, architecture):
    """Each text once, whatever side it is padded on when it is asked for."""
    scalar = scalar_model_from(tiny(tokenizer, architecture), seed=0)
    features = Features(scalar, TEXTS, at_once=AtOnce(rows=2))
    assert len(features) == 3
    tokens = torch.tensor([[3, 4, 0, 0], [5, 6, 7, 2], [0, 0, 0, 4]])
    mask = torch.tensor([[True, True, False, False], [True] * 4, [False] * 3 + [True]])
    with torch.no_grad():
        read, anew = scalar.read(features.of(tokens, mask)), scalar.score(tokens, mask)
    assert torch.allclose(read, anew, atol=1e-5)


def test_features_are_read_within_so_many_tokens(tokenizer):
    """Texts of 2, 1 and 4 tokens in the order of their ids, with 4 at once: the two short ones,
    then the long one."""
    scalar, tokens = scalar_model_from(tiny(tokenizer), seed=0), []
    whole = Features(scalar, TEXTS).states
    read = scalar.last_states
    scalar.last_states = lambda *rows: (tokens.append(int(rows[1].sum())), read(*rows))[1]
    split = Features(scalar, TEXTS, at_once=AtOnce(tokens=4)).states
    assert tokens == [3, 4]
    assert all(torch.allclose(split[text], whole[text], atol=1e-5) for text in whole)


def test_features_depend_on_the_set_of_texts_alone(tokenizer):
    scalar = scalar_model_from(tiny(tokenizer), seed=0)
    first = Features(scalar, TEXTS, at_once=AtOnce(rows=2)).states
    again = Features(scalar, reversed(TEXTS), at_once=AtOnce(rows=2)).states
    assert first.keys() == again.keys()
    assert all(torch.equal(first[text], again[text]) for text in first)
