import pytest

from rlhf.compare.figures.scales import KLScale, decades, kl_scale, plain, span


def test_a_scale_gives_the_others_room_however_far_one_run_went():
    """Five runs end at 1 to 5 nats; a sixth at 6, at 60, at 600."""
    ends = [1.0, 2.0, 3.0, 4.0, 5.0]
    for furthest, kind in ((6.0, "linear"), (60.0, "sqrt"), (600.0, "symlog")):
        scale = kl_scale([*ends, furthest], [*ends, furthest])
        assert (scale.kind, scale.right) == (kind, furthest)
        # of the width, by position: all but the furthest keep a quarter of it
        assert scale.position(5.0) - scale.position(0.0) > 0.25
        assert 0.9 < scale.position(furthest) < 1.0
    assert "square-root" in kl_scale([*ends, 60.0], [60.0]).words


def test_two_runs_and_none_are_on_a_linear_scale():
    assert kl_scale([1.0, 100.0], [100.0]).kind == "linear"
    assert kl_scale([], []).kind == "linear" and kl_scale([0.0] * 3, [0.0]).right == 0.0


@pytest.mark.parametrize(
    ("right", "ticks"), [(60.0, [0, 2, 10, 20, 40, 60]), (0.0, []), (9.0, [0, 0.4, 1.5, 3, 6, 8])]
)
def test_round_ticks_on_a_root_scale(right, ticks):
    assert KLScale(kind="sqrt", right=right).ticks() == ticks


def test_the_numbers_of_an_axis_are_not_rounded_to_the_step_of_its_ticks():
    """1.5 and 15 between 0 and 38: with a format of no precision Vega would write 2 and 20."""
    axis = KLScale(kind="sqrt", right=38.6).x().to_dict()["axis"]
    assert axis["values"] == [0, 1.5, 6, 15, 20] and axis["format"] == ".6~r"
    assert plain(2e6) == "~g"


def test_ticks_are_in_order_for_any_range():
    for kind in ("sqrt", "symlog"):
        for right in (0.003, 0.7, 3.0, 151.0, 4000.0):
            ticks = KLScale(kind=kind, right=right).ticks()
            assert ticks == sorted(set(ticks)) and ticks[-1] <= right and len(ticks) > 2


def test_one_run_that_fell_far_is_drawn_at_the_edge():
    """Four runs between 1 and 2, one at -100: the others reach over 1, so room is 0.3 of it."""
    runs = [[1.0, 2.0], [1.0, 1.5], [1.2, 1.9], [1.1, 1.4], [1.0, -100.0]]
    assert span(runs) == pytest.approx((0.7, 2.3))
    # what is kept counts to the others, and a run of four is not one of many
    assert span(runs, keep=[0.0])[0] == pytest.approx(-0.6)
    assert span(runs[1:])[0] < -100.0


def test_a_span_has_room_and_is_never_empty():
    assert span([[0.0, 1.0]]) == pytest.approx((-0.08, 1.08))
    assert span([[2.0]]) == pytest.approx((1.84, 2.16))
    low, high = span([])
    assert low < high
    assert span([[float("nan"), 1.0], [2.0]]) == pytest.approx((0.92, 2.08))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.01, 1.0, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]),
        (0.003, 5.0, [0.01, 0.1, 1.0]),
        (0.9, 3.0, [1.0, 2.0]),
        (0.2, 0.2, [0.2]),
    ],
)
def test_round_ticks_on_a_logarithmic_axis(low, high, ticks):
    assert decades(low, high) == ticks
