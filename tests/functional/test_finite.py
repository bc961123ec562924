import math

import torch

from rlhf.functional.finite import (
    in_words,
    nonfinite_metrics,
    nonfinite_names,
    nonfinite_rows,
    tensors_of,
)

NAN, INF = math.nan, math.inf


def test_rows_with_a_bad_number_at_a_token_that_counts():
    x = torch.tensor([[1.0, NAN], [INF, 0.0], [0.0, -INF], [0.0, 0.0]])
    mask = torch.tensor([[True, False], [True, True], [True, True], [True, True]])
    assert nonfinite_rows(x, mask).tolist() == [False, True, True, False]
    assert nonfinite_rows(x).tolist() == [True, True, True, False]
    assert nonfinite_rows(torch.tensor([0.0, NAN, -INF])).tolist() == [False, True, True]


def test_names_and_counts_of_tensors():
    named = {
        "a": torch.tensor([1.0, NAN, INF]),
        "b": torch.zeros(3),
        "whole": torch.tensor([1, 2]),
        "c": torch.tensor(-INF),
    }
    assert nonfinite_names(named.items()) == {"a": 2, "c": 1}
    assert nonfinite_names([("b", named["b"]), ("whole", named["whole"])]) == {}
    assert nonfinite_names([]) == {}


def test_tensors_of_a_checkpoint_by_their_paths():
    tree = {"state_dict": {"w": torch.ones(1)}, "states": [{0: {"step": torch.ones(())}}, 3, "x"]}
    assert [name for name, _ in tensors_of(tree)] == ["state_dict.w", "states.0.0.step"]


def test_a_standard_error_of_one_response_may_be_nan():
    record = {
        "val/loss": NAN,
        "reward/gold": INF,
        "reward/gold_se": NAN,
        "ppo/explained_variance": NAN,
        "oracle/gained": NAN,
        "kl/coef": 0.1,
    }
    bad = nonfinite_metrics(record, ("val/", "reward/", "ppo/", "kl/"))
    assert list(bad) == ["val/loss", "reward/gold"]


def test_a_list_of_names_is_cut():
    assert in_words({"a": 1, "b": 2}) == "a (1 entry), b (2 entries)"
    assert in_words(dict.fromkeys("abcde", 1)) == "a (1 entry), b (1 entry), c (1 entry) and 2 more"
