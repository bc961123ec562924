import pytest

from rlhf.modules.base import lr_factor


def test_values_by_hand():
    assert lr_factor("constant", 0.7) == 1.0
    assert lr_factor("linear", 0.25) == 0.75
    assert lr_factor("cosine", 0.5) == pytest.approx(0.5)
    assert lr_factor("cosine", 1.0) == pytest.approx(0.0)


def test_warm_up_rises_from_zero_and_the_rest_is_the_schedule_on_what_is_left():
    assert lr_factor("linear", 0.0, 0.2) == 0.0
    assert lr_factor("linear", 0.1, 0.2) == pytest.approx(0.5)
    assert lr_factor("linear", 0.2, 0.2) == 1.0
    assert lr_factor("linear", 0.6, 0.2) == pytest.approx(0.5)


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match="cosine"):
        lr_factor("cosin", 0.1)
