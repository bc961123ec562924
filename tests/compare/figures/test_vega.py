import json

from rlhf.compare.figures import vega
from rlhf.compare.figures.look import page_look, picture_look
from rlhf.compare.figures.style import SHAPES

STYLES = {"a": ("#440154", SHAPES[0]), "b": ("#addc30", SHAPES[1])}
TIP = {"title": "a, seed 0", "lines": [["KL, nats", "2.0"]], "sample": {"prompt": "<b>"}}


def _chart(look):
    rows = [{"setting": "a", "x": 1.0, "y": y, **vega.tip_of(TIP)} for y in (float("nan"), 2.0)]
    dots = vega.points(rows)
    layer = dots.mark_point().encode(x="x:Q", y="y:Q", **look.encode(), **vega.tips())
    return vega.spec([layer], look, "what it shows")


def test_a_mark_says_its_title_its_numbers_and_its_sample():
    assert vega.tip_of(TIP) == {
        "tip": {"title": "a, seed 0", "KL, nats": "2.0", "prompt": "<b>"},
        "spoken": "a, seed 0; KL, nats 2.0",
    }


def test_a_chart_is_json_that_may_stand_in_a_page():
    text = vega.embedded(_chart(page_look(STYLES)))
    assert "</" not in text and "<b>" not in text
    made = json.loads(text)
    assert made["description"] == "what it shows"
    (rows,) = made["datasets"].values()
    assert rows[0]["y"] is None  # NaN is no JSON


def test_a_picture_is_as_wide_as_it_may_be(tmp_path):
    chart = _chart(picture_look(STYLES, "setting"))
    for widest in (2000, 300):
        vega.save_png(chart, tmp_path / "a.png", widest=widest)
        data = (tmp_path / "a.png").read_bytes()
        assert data.startswith(b"\x89PNG") and int.from_bytes(data[16:20], "big") <= widest
    vega.save_png(chart, tmp_path / "wide.png")
    vega.save_png(chart, tmp_path / "b.png", widest=300, drawn=tmp_path / "wide.png")
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_long_series_are_thinned_but_keep_their_end():
    points = [(i, float(i)) for i in range(1001)]
    kept = vega.thin(points, 100)
    assert len(kept) <= 101 and kept[0] == (0, 0.0) and kept[-1] == (1000, 1000.0)
    assert vega.thin(points[:5], 250) == points[:5] and vega.thin([], 250) == []


def test_a_hundred_runs_are_no_more_points_than_a_few():
    runs = [("a", f"run {i}", [(float(k), float(k)) for k in range(1000)]) for i in range(100)]
    _, seen = vega.run_lines(runs, page_look(STYLES), "x:Q", "y:Q")
    rows = seen.data.to_dict()["values"]
    assert len(rows) == 100 and sum(len(row["x"]) for row in rows) <= 1.1 * vega.MOST_POINTS


def test_the_script_asks_for_nothing_and_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    vega.script.cache_clear()
    script = vega.script()
    (kept,) = (tmp_path / "rlhf").iterdir()
    assert kept.read_text() == script
    kept.write_text("window.vegaEmbed = 1;")
    vega.script.cache_clear()
    assert vega.script() == "window.vegaEmbed = 1;"
    kept.unlink()
    vega.script.cache_clear()
    assert "vegaEmbed" in script and len(script) < 2_000_000
    assert "</script" not in script
