import math

from rlhf.compare.read.columns import Columns, value


def test_value():
    assert value({"a": "inf"}, "a") == math.inf
    assert math.isnan(value({"a": "word"}, "a")) and math.isnan(value({}, "a"))


def test_a_column_is_read_once_and_has_a_number_or_nan_for_each_row():
    columns = Columns([{"a": 1, "b": "inf"}, {"a": None}, {"a": 2.5}])
    first, second, third = columns["a"]
    assert (first, third) == (1.0, 2.5) and math.isnan(second)
    assert columns["a"] is columns["a"]
    assert columns["b"][0] == math.inf
    assert all(map(math.isnan, columns["none"])) and len(columns["none"]) == 3
