import time

import numpy as np
import pytest
import torch

from rlhf.rewards.function import FunctionScorer
from rlhf.rundir.errors import RunFailed


def length(responses):
    return [len(r) for r in responses]


def every_column(prompts, responses, references, turns, factor=1):
    return [
        factor * (len(p) + len(r) + len(a or "") + len(t))
        for p, r, a, t in zip(prompts, responses, references, turns, strict=True)
    ]


def anything(**columns):
    return [float(len(columns)) for _ in columns["responses"]]


def test_a_function_gets_the_columns_that_its_signature_has(responses_of):
    """len(prompt) + len(response) + len(reference) + turns: 1 + 2 + 3 + 1, 1 + 1 + 0 + 1."""
    responses = responses_of(["bb", "b"], ["a", "a"], references=["ccc", None])
    assert FunctionScorer(length)(responses).tolist() == [2, 1]
    assert FunctionScorer(every_column)(responses).tolist() == [7, 3]
    assert FunctionScorer(every_column, {"factor": 2})(responses).tolist() == [14, 6]
    assert FunctionScorer(anything, {"more": 1})(responses).tolist() == [5, 5]


@pytest.mark.parametrize("timeout", [None, 30.0])
@pytest.mark.parametrize(
    "give",
    [
        lambda responses: [1, 2.5],
        lambda responses: (True, 2.5),
        lambda responses: np.array([1, 2.5], dtype=np.float32),
        lambda responses: [np.float32(1), np.float64(2.5)],
        lambda responses: torch.tensor([1, 2.5], requires_grad=True, dtype=torch.bfloat16),
        lambda responses: [torch.tensor(1.0), torch.tensor(2.5)],
    ],
)
def test_any_kind_of_numbers(responses_of, give, timeout):
    scores = FunctionScorer(give, timeout=timeout)(responses_of(["a", "b"]))
    assert scores.tolist()[1] == 2.5 and scores.tolist()[0] == 1.0
    assert not scores.requires_grad


def test_no_gradient_in_the_function(responses_of):
    def grad(responses):
        return [float(torch.is_grad_enabled()) for _ in responses]

    for timeout in (None, 30.0):
        assert FunctionScorer(grad, timeout=timeout)(responses_of(["a"])).tolist() == [0.0]


@pytest.mark.parametrize(
    ("give", "sentence"),
    [
        (lambda responses: None, "gave None for 2 responses; expected a list of 2 numbers"),
        (lambda responses: 1.0, r"gave '1.0' \(float\) for 2 responses"),
        (lambda responses: "12", r"gave '12' \(str\) for 2 responses"),
        (lambda responses: [1.0], "gave 1 scores for 2 responses; expected a list of 2 numbers"),
        (lambda responses: np.zeros(3), "gave 3 scores for 2 responses"),
        (lambda responses: [1.0, "2"], r"gave '2' \(str\) for row 1, the response to 'prompt 1'"),
        (lambda responses: [None, 1.0], "gave None for row 0, the response to 'prompt 0'"),
        (lambda responses: np.zeros((2, 1)), r"gave '\[0.0\]' \(list\) for row 0"),
        (lambda responses: iter([1.0, 2.0]), r"list_iterator\) for 2 responses"),
    ],
)
def test_anything_else_is_a_sentence(responses_of, give, sentence):
    with pytest.raises(RunFailed, match=sentence):
        FunctionScorer(give)(responses_of(["a", "b"]))


def test_nan_is_a_number_that_others_judge(responses_of):
    scores = FunctionScorer(lambda responses: [float("nan"), 1e300])(responses_of(["a", "b"]))
    assert torch.isnan(scores[0]) and torch.isinf(scores[1])


def test_what_a_function_raises_names_the_row(responses_of):
    def broken(responses):
        return [1 / (len(r) - 3) for r in responses]

    responses = responses_of(["a", "bb", "ccc", "d"], [*"wxyz"])
    with pytest.raises(RunFailed) as raised:
        FunctionScorer(broken)(responses)
    assert str(raised.value).startswith("tests.rewards.test_function.broken raised") or (
        ".broken raised ZeroDivisionError: " in str(raised.value)
    )
    assert "(test_function.py:" in str(raised.value)
    assert str(raised.value).endswith("for row 2 of a batch, the response to 'y'")

    def together(responses):
        if len(responses) > 1:
            raise KeyError("pairs")
        return [0.0]

    with pytest.raises(RunFailed, match="KeyError: 'pairs'.*for 4 responses together, the first"):
        FunctionScorer(together)(responses)

    def leaves(responses):
        raise SystemExit(3)

    for timeout in (30.0, None):
        with pytest.raises(RunFailed, match=r"it ended with SystemExit: 3 \(test_function.py:"):
            FunctionScorer(leaves, timeout=timeout)(responses_of(["a"]))


def test_a_call_that_hangs_is_left_to_itself(responses_of):
    ended = []

    def slow(responses):
        time.sleep(0.6)
        ended.append(1)
        return [0.0]

    with pytest.raises(RunFailed, match=r"more than scorer.timeout=0.05 s for 1 responses .*left"):
        FunctionScorer(slow, timeout=0.05)(responses_of(["a"]))
    assert ended == []

    def own(responses):
        raise TimeoutError("of a server")

    with pytest.raises(RunFailed, match="raised TimeoutError: of a server"):
        FunctionScorer(own, timeout=30.0)(responses_of(["a"]))


class Callable:
    def __call__(self, responses):
        return [2.0 for _ in responses]


async def later(responses):
    return [0.0]


@pytest.mark.parametrize(
    ("function", "arguments", "sentence"),
    [
        (lambda texts: [0.0], {}, "has the parameter texts, which nothing is given for"),
        (lambda responses, size: [0.0], {}, "has the parameter size, which nothing is given for"),
        (lambda responses, /: [0.0], {}, "has the parameter responses, which nothing is given"),
        (lambda responses: [0.0], {"size": 1}, "has no parameter size, which scorer.arguments"),
        (lambda responses: [0.0], {"responses": 1}, "gets responses from the rollout"),
        (lambda prompts: [0.0], {}, "does not take responses"),
        (later, {}, "is async; expected a plain function"),
        (Callable, {}, "is a class; expected a function"),
        (3, {}, "is of the type int; expected a function"),
    ],
)
def test_a_function_that_cannot_be_called_so(function, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        FunctionScorer(function, arguments)


def test_names(responses_of):
    assert FunctionScorer(length).measured == ("length",)
    assert FunctionScorer(length, metric="brief").measured == ("brief",)
    assert FunctionScorer(Callable())(responses_of(["a"])).tolist() == [2.0]

    def gold(responses):
        return [0.0]

    with pytest.raises(ValueError, match="reward/gold is the name of another number"):
        FunctionScorer(gold)
