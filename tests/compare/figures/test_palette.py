import pytest

from rlhf.compare.figures.palette import APART, DARK, LIGHT, contrast, mix, readable, themes
from rlhf.compare.figures.style import HUES, OKABE_ITO


def test_contrast_by_the_standards_own_numbers():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#ffffff", "#ffffff") == 1.0
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_a_colour_that_stands_out_stays_itself():
    assert readable("#0072b2", LIGHT) == "#0072b2"
    assert contrast(readable("#fde725", LIGHT), LIGHT) >= APART
    assert contrast(readable("#440154", DARK), DARK) >= APART


def test_every_colour_of_the_charts_stands_out_on_both_pages():
    ramps = [mix(*hue, share / 3) for hue in HUES for share in range(4)]
    for light, dark in themes([*OKABE_ITO, *ramps]):
        assert contrast(light, LIGHT) >= APART and contrast(dark, DARK) >= APART


def test_half_way():
    assert (
        mix("#000000", "#ff8000", 0.5) == "#804000" and mix("#123456", "#ffffff", 0.0) == "#123456"
    )
