import pytest

from rlhf.compare.figures.look import some
from rlhf.compare.figures.style import (
    APART,
    DARK,
    HUES,
    LIGHT,
    OKABE_ITO,
    SHAPES,
    VIRIDIS,
    contrast,
    mix,
    readable,
    shares,
    styles_of,
    themes,
    viridis,
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
    ] == [SHAPES[0], SHAPES[1], SHAPES[1], SHAPES[2]]
    assert (styles["fixed 0.02"][0], styles["fixed 0.3"][0], styles["adaptive 0.3"][0]) == (
        cold[0],
        cold[1],
        warm[1],
    )
    assert len({colour for colour, _ in styles.values()}) == 5


def test_of_many_settings_each_algorithm_has_a_colour_and_its_settings_a_shape(rundirs, tmp_path):
    """Six families by all but the coefficient are more than there are hues."""
    settings = (("ppo", 1, 0.1), ("ppo", 1, 0.3), ("rloo", 2, 0.1), ("rloo", 4, 0.1))
    settings += (("rloo", 8, 0.3), ("dpo", 1, 0.1), ("dpo", 2, 0.3))
    for i, (algorithm, each, coef) in enumerate(settings):
        config = {
            "algorithm": {"_target_": f"mine.{algorithm}"},
            "ppo": {"responses_per_prompt": each},
        }
        rundirs.make_run(tmp_path / str(i), coef=coef, config=config)
    looks = styles_of(group(load(tmp_path))).values()
    assert len(looks) == len(set(looks)) == len(settings)
    assert len({colour for colour, _ in looks}) == 3
    assert {shape for _, shape in looks} == {*SHAPES[:3]}


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
    for light, dark in themes([*OKABE_ITO, *ramps, *VIRIDIS]):
        assert contrast(light, LIGHT) >= APART and contrast(dark, DARK) >= APART


def test_half_way():
    assert (
        mix("#000000", "#ff8000", 0.5) == "#804000" and mix("#123456", "#ffffff", 0.0) == "#123456"
    )


def test_colours_follow_a_swept_number_by_its_logarithm(rundirs, tmp_path):
    """0.01, 0.1 and 1 are evenly apart; 0 is a step below the lowest. 1, 2, 4 do not reach over a
    factor of ten and stand by their size."""
    assert shares([0.01, 0.1, 1.0]) == pytest.approx([0.0, 0.5, 1.0])
    assert shares([0.0, 0.01, 0.1, 1.0])[0] == 0.0 < shares([0.0, 0.01, 0.1, 1.0])[1]
    assert shares([1.0, 2.0, 4.0]) == pytest.approx([0.0, 1 / 3, 1.0])
    assert shares([2.0, 2.0]) == [0.0, 0.0] and shares([]) == []
    for coef in (0.01, 0.1, 1.0):
        rundirs.make_run(tmp_path / str(coef), coef=coef)
    colours = [colour for colour, _ in styles_of(group(load(tmp_path))).values()]
    assert colours == [viridis(0.0), viridis(0.5), viridis(1.0)]


def test_more_settings_than_shapes_are_circles(rundirs, tmp_path):
    for i in range(12):
        rundirs.make_run(tmp_path / str(i), coef=0.01 * (i + 1))
    assert {shape for _, shape in styles_of(group(load(tmp_path))).values()} == {SHAPES[0]}


def test_a_picture_names_some_of_many_settings():
    names = [str(i) for i in range(34)]
    assert some(names, 4) == ["0", "11", "22", "33"]
    assert some(names, 34) == names
