"""What a search left behind, read, told and drawn. Trials of (KL, gold): three of them are on
the front."""

import json
import math

import pytest

from rlhf.compare import compare
from rlhf.compare.figures import searches as searchcharts
from rlhf.compare.figures.look import page_look
from rlhf.compare.figures.style import SHAPES
from rlhf.compare.page.marks import marks
from rlhf.compare.read.runs import load
from rlhf.compare.read.searches import CUT, searches
from rlhf.compare.statistics.study import study
from rlhf.compare.text.searches import markdown, note, sentences, shown, tables
from rlhf.metrics import METRICS
from tests.compare.specs import layers, points, texts

ENDS = {0: (12.0, 1.0), 1: (5.0, 2.0), 2: (2.0, 1.5), 3: (6.0, 1.8), 6: (1.0, 1.2)}
FRONT = (1, 2, 6)
GOALS = {"reward/gold": "maximize", "kl/sequence_nats": "minimize"}


def row(number, *, state="complete", run=None, values=None, **more):
    params = {"kl.coef": 0.1 + number / 1e6, "kl/controller": "fixed"}
    return {
        "number": number,
        "state": state,
        "params": params,
        "values": values,
        "front": number in FRONT,
        "run": run,
        "overrides": ["kl.coef=0.1"],
        "error": None,
    } | more


def write(directory, goals, rows):
    told = {
        "name": directory.name,
        "objectives": list(goals),
        "directions": list(goals.values()),
        "n_trials": 7,
        "trials": rows,
    }
    (directory / "optuna.json").write_text(json.dumps(told))


@pytest.fixture
def searched(rundirs, tmp_path):
    """A finished search for much gold and little KL: five trials with a result, one that failed,
    one that was cut."""
    directory = tmp_path / "sweeps" / "wide"
    directory.mkdir(parents=True)
    rows = [
        row(4, state="fail", error="ValueError: no answer of https://me:s3cret@host | nan"),
        row(5, state="fail", overrides=None),
    ]
    for number, (kl, gold) in ENDS.items():
        rundirs.make_run(directory / f"t{number}", coef=0.02 * (number + 1), gold=gold, kl=kl)
        rows.append(
            row(number, run=f"t{number}", values={"reward/gold": gold, "kl/sequence_nats": kl})
        )
    write(directory, GOALS, sorted(rows, key=lambda row: row["number"]))
    return directory


def only(directory):
    (found,) = searches(load(directory))
    return found


LOOK = page_look({"one": ("#0072b2", SHAPES[0])})


def drawn(search, directory=None):
    """The chart of a search; with what its marks say where the directory is given."""
    tips = marks(study(directory, load(directory))) if directory else {}
    return searchcharts.chart(search, lambda run: "one", LOOK, tips, "alt")


def test_trials_by_what_became_of_them(searched):
    found = only(searched)
    assert [t.state for t in found.trials] == [
        "complete",
        "complete",
        "complete",
        "complete",
        "failed",
        CUT,
        "complete",
    ]
    assert [t.number for t in found.front] == [6, 2, 1] and [t.number for t in found.failed] == [4]
    assert (
        shown(found.front[0], "reward/gold") == "1.20 ± 0.20"
        and found.front[0].title == "trial 6: kl.coef=0.1, kl/controller=fixed"
    )
    assert "s3cret" not in found.failed[0].error and "***@host" in found.failed[0].error


def test_what_is_said_of_them(searched):
    said = markdown([only(searched)])
    assert said.startswith(
        "## Search\n\nObjective: gold reward as high as possible, KL (nats per response) as low as"
        " possible. "
    )
    assert (
        "Of 7 trials: 5 complete, 1 failed, 1 cut and asked for again. 3 trials are on"
        " the Pareto front" in said
    )
    assert "| 6 | 0.1 | fixed | 1.20 ± 0.20 | 1.00 ± 0.20 | t6 |\n| 2 |" in said
    assert "| 4 | 0.1 | fixed | - | ValueError: no answer of https://***@host \\| nan |" in said
    assert "partly luck" in said and markdown([]) == ""


def test_nothing_is_said_of_a_search_that_is_compared_in_part(searched):
    assert searches(load(searched)[1:]) == []


def test_a_storage_shared_with_another_computer(searched):
    told = json.loads((searched / "optuna.json").read_text())
    told["trials"].append(
        row(7, run="elsewhere", values={"reward/gold": 9.0, "kl/sequence_nats": 0.5})
        | {"front": True}
    )
    (searched / "optuna.json").write_text(json.dumps(told))
    first = only(searched).front[0]
    assert (first.number, first.run, shown(first, "reward/gold")) == (7, None, "9")


@pytest.mark.parametrize(
    ("more", "frame", "line"),
    [
        ((False, True), (9.0, 0.0), [(1, 0), (1, 1), (2, 1), (2, 3), (9, 3)]),  # little x, much y
        ((True, True), (0.0, 0.0), [(2, 0), (2, 1), (1, 1), (1, 3), (0, 3)]),
        ((False, False), (9.0, 9.0), [(1, 9), (1, 3), (2, 3), (2, 1), (9, 1)]),
    ],
)
def test_the_staircase_by_hand(more, frame, line):
    front = [(1, 1), (2, 3)] if more == (False, True) else [(1, 3), (2, 1)]
    assert searchcharts.staircase(front, more, frame) == line


def test_the_front_is_drawn_over_pale_trials(searched):
    found = only(searched)
    chart = drawn(found, searched)
    pale, front = points(chart)
    assert [(row["x"], row["y"]) for row in front] == [(5.0, 2.0), (2.0, 1.5), (1.0, 1.2)]
    assert len(pale) == 2 and front[0]["tip"]["gold reward"] == "2.00 ± 0.20"
    (stairs,) = [rows for kind, _, rows, _ in layers(chart) if kind == "line"]
    assert {(1.0, 1.2), (2.0, 1.5), (5.0, 2.0)} <= {(row["x"], row["y"]) for row in stairs}
    encoding = layers(chart)[-1][1]
    assert (encoding["x"]["title"], encoding["y"]["title"]) == (named_kl(), "gold reward")


def named_kl():
    return f"KL ({METRICS['kl/sequence_nats'].unit})"


def test_one_objective_is_the_best_so_far(searched):
    rows = [
        row(n, run=f"t{n}", values={"reward/gold": gold}) | {"front": n == 1}
        for n, (_, gold) in ENDS.items()
    ]
    write(searched, {"reward/gold": "maximize"}, rows)
    found = only(searched)
    assert sentences(found).endswith(
        "The best gold reward, 2.00 ± 0.20, is that of trial 1: kl.coef=0.1, kl/controller=fixed."
    )
    (best,) = [rows for kind, _, rows, _ in layers(drawn(found)) if kind == "line"]
    steps = [(0, 1.0), (1, 1.0), (1, 2.0), (2, 2.0), (2, 2.0), (3, 2.0), (3, 2.0), (6, 2.0)]
    assert [(row["x"], row["y"]) for row in best[:8]] == steps


def test_three_objectives_are_a_table_and_no_result_is_a_sentence(searched):
    values = {"reward/gold": 1.0, "kl/sequence_nats": 2.0, "response/length": 9.0}
    write(searched, GOALS | {"response/length": "minimize"}, [row(1, run="t1", values=values)])
    found = only(searched)
    assert drawn(found) is None and len(tables(found)) == 1
    write(searched, GOALS, [row(4, state="fail", error="lost")])
    found = only(searched)
    assert drawn(found) is None
    assert sentences(found).endswith("No trial has a result.") and note(found) == ""
    assert [caption for caption, _, _ in tables(found)] == ["Trials that failed"]


@pytest.fixture
def crossing(rundirs, tmp_path):
    """crossing(**changes) -> the search for KL 5 over two coefficients, two seeds each, as
    find.json tells it."""
    directory = tmp_path / "sweeps" / "kl5"
    directory.mkdir(parents=True)
    for coef, kl in ((0.02, 18.0), (0.1, 5.2)):
        for seed in (0, 1):
            rundirs.make_run(directory / f"c{coef}s{seed}", coef=coef, seed=seed, kl=kl)
    points = [{"x": 0.02, "y": 18.0, "error": 0.3}, {"x": 0.1, "y": 5.2, "error": 0.1}]

    def make(**changes):
        told = {
            "name": "kl5",
            "setting": "kl.coef",
            "objective": "kl/sequence_nats",
            "target": 5.0,
            "tolerance": 0.05,
            "found": 0.1,
        }
        (directory / "find.json").write_text(
            json.dumps(told | {"nearest": points[1], "points": points} | changes)
        )
        return searches(load(directory))[0]

    return make


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "kl.coef=0.1 gives {}, within 5 % of the target of 5."),
        (
            {"target": 5.25, "tolerance": 0.001},
            "kl.coef=0.1 gives {}, within its standard error of the target of 5.25.",
        ),
        ({"tolerance": None}, "kl.coef=0.1 gives {}, close to the target of 5."),
        (
            {"found": None},
            (
                "No kl.coef was found that gives KL (nats per response) 5: the nearest of 2 that"
                " were measured, 0.1, gives {}."
            ),
        ),
        (
            {"objective": "reward/gold"},
            "kl.coef=0.1 gives gold reward 5.2 ± 1.3, within 5 % of the target of 5.",
        ),
    ],
)
def test_the_answer_to_which_coefficient(crossing, changes, said):
    """Two runs: ± is 12.706 standard errors of 0.1."""
    assert sentences(crossing(**changes)) == said.format("a KL of 5.2 ± 1.3 nats per response")


def test_its_points_and_the_runs_they_are_the_mean_of(crossing):
    found = crossing()
    ((_, head, lines),) = tables(found)
    assert head == ["kl.coef", "KL (nats per response)", "off the target", "runs"]
    assert (
        lines[1] == ["0.1", "5.2 ± 1.3", "+4.0 %", "c0.1s0, c0.1s1"] and lines[0][2] == "+260.0 %"
    )
    assert "mean over its runs" in note(found)


def test_the_curve_has_its_target_and_tolerance(crossing):
    chart = searchcharts.curve(crossing(), lambda run: "one", LOOK, {}, "alt")
    encoding = layers(chart)[-1][1]
    assert encoding["x"]["scale"]["type"] == encoding["y"]["scale"]["type"] == "log"
    (band,) = [rows[0] for kind, _, rows, _ in layers(chart) if kind == "rect"]
    assert (band["low"], band["high"]) == pytest.approx((4.75, 5.25))
    rings = [mark for kind, _, _, mark in layers(chart) if mark.get("filled") is False]
    assert len(rings) == 1 and texts(chart) == {"target 5"}
    loose = crossing(tolerance=None, found=None)
    chart = searchcharts.curve(loose, lambda run: "one", LOOK, {}, "alt")
    assert not [kind for kind, *_ in layers(chart) if kind == "rect"]
    assert not [mark for *_, mark in layers(chart) if mark.get("filled") is False]


def test_the_report_has_a_section_only_then(searched, gamed):
    made = compare(searched, track=False)
    page, text = made.files["report.html"].read_text(), made.files["report.md"].read_text()
    assert 'id="h-search"' in page and '<a href="#search">' in page and "## Search" in text
    assert page.index('id="h-search"') < page.index('id="h-frontier"') and text.index(
        "## Search"
    ) < text.index("## Settings")
    assert "on the Pareto front" in made.answer
    assert '"gold reward":"2.00 ± 0.20"' in page and "The Pareto front" in page
    assert "s3cret" not in page + text
    other = compare(gamed, track=False)
    assert (
        "h-search" not in other.files["report.html"].read_text()
        and "## Search" not in other.files["report.md"].read_text()
    )


def test_the_section_of_a_target(crossing):
    directory = crossing().levels[0].runs[0].directory.parent
    page = compare(directory, track=False).files["report.html"].read_text()
    for said in (
        "kl.coef=0.1 gives a KL of 5.2 ± 1.3 nats per response",
        "target 5",
        "The band is the tolerance",
    ):
        assert said in page, said


def test_noise_that_no_run_tells(searched):
    summary = json.loads((searched / "t1" / "summary.json").read_text())
    del summary["reward/gold_se"]
    (searched / "t1" / "summary.json").write_text(json.dumps(summary))
    trial = next(t for t in only(searched).trials if t.number == 1)
    assert (
        shown(trial, "reward/gold") == "2"
        and shown(trial, "nothing") == "-"
        and math.isfinite(trial.values["reward/gold"])
    )
