import pytest

from rlhf.realign.ready import numbers, ways


def test_lambdas_are_each_taken_once_from_the_smallest_up():
    assert numbers("1, 0.25,0,1.0") == [0.0, 0.25, 1.0]
    assert str(numbers("-0")[0]) == "0.0"


@pytest.mark.parametrize("text", ["", "a", "0,-1", "nan", "inf", "1e4", "0,,1"])
def test_what_is_no_lambda_is_refused(text):
    with pytest.raises(ValueError, match="expected a number of at least 0"):
        numbers(text)


def test_ways():
    assert ways("weights,decoding,weights") == ["decoding", "weights"]
    assert ways("weights") == ["weights"]
    with pytest.raises(ValueError, match="--by mix: expected decoding or weights"):
        ways("weights,mix")
