import pytest

from rlhf.compare.figures.style import (
    APART,
    DARK,
    HUES,
    LIGHT,
    OKABE_ITO,
    contrast,
    mix,
    readable,
    styles_of,
    themes,
)
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.settings import group


def test_a_hue_for_each_controller_and_a_mark_for_each_coefficient(rundirs, tmp_path):
    for controller in ("Fixed", "Adaptive"):
        for coef in (0.02, 0.1, 0.3):
            if (controller, coef) != ("Adaptive", 0.02):
                rundirs.make_run(tmp_path / f"{controller}{coef}", coef=coef, controller=controller)
    settings = group(load(tmp_path))
    styles = {s.short: styles_of(settings)[s.label] for s in settings}
    cold, warm = HUES[1], HUES[0]  # adaptive comes first
    assert [
        styles[name][1] for name in ("fixed 0.02", "fixed 0.1", "adaptive 0.1", "adaptive 0.3")
    ] == ["o", "s", "s", "^"]
    assert (styles["fixed 0.02"][0], styles["fixed 0.3"][0], styles["adaptive 0.3"][0]) == (
        cold[0],
        cold[1],
        warm[1],
    )
    assert len({colour for colour, _ in styles.values()}) == 5


def test_settings_that_share_nothing_keep_colours_far_apart(rundirs, tmp_path):
    for i, (controller, n) in enumerate((("Fixed", 2), ("Adaptive", 3))):
        rundirs.make_run(
            tmp_path / str(i),
            controller=controller,
            coef=0.1 * (i + 1),
            config={"ppo": {"iterations": n}},
        )
    assert [colour for colour, _ in styles_of(group(load(tmp_path))).values()] == [
        "#0072B2",
        "#D55E00",
    ]


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
