"""A sweep's saved views: what MLflow's list of runs and its charts open on. They stand in the
page's menu "Views", and in the description of the experiment.

MLflow keeps a view as a tag of the experiment. One that a user has saved anew stays as the user
left it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rlhf.metrics import KL, MLFLOW_LINES
from rlhf.tracking.links import BY_NAME, NOTE_TAG, VIEW_TAG, compact, view_name, with_tags
from rlhf.tracking.state import now
from rlhf.tracking.store import Client, connect, one_at_a_time

WIDTH = 150  # pixels of a metric's column
NAME = "attributes.`Run Name`"  # the column
SECTION = "rlhf"
LONGEST = 4500  # characters of a description: not every MLflow takes a tag of more than 5,000
COLOUR, GIVEN = "mlflow.runColor", "rlhf.colour"  # tags of a run


def save_views(
    client: Client,
    experiment_id: str,
    *,
    sweep: str,
    rewards: Sequence[str],
    params: Sequence[str],
) -> tuple[str, str]:
    """Saves the list of the sweep's runs and their charts, and returns the names of
    both for `view_link`.

    Args:
        rewards: `reward/gold`, ..., the one that decides first.
        params: what the sweep varies.
    """
    there = client.get_experiment(experiment_id).tags

    def save(kind: Literal["runs", "charts"], state: dict[str, Any]) -> str:
        name = view_name(sweep, kind)
        if not _edited(there.get(VIEW_TAG + name)):
            moment = now()
            saved = {
                "name": f"{sweep}: {kind}",
                "createdAt": moment,
                "updatedAt": moment,
                "state": compact(state),
            }
            client.set_experiment_tag(experiment_id, VIEW_TAG + name, compact(saved))
        return name

    return save("runs", runs_view(sweep, rewards, params)), save(
        "charts", charts_view(sweep, rewards, params)
    )


def runs_view(sweep: str, rewards: Sequence[str], params: Sequence[str]) -> dict[str, Any]:
    """All runs, the one with the most of the reward that decides first: rewards and KL at the end,
    and what the sweep varies."""
    metrics = [f"metrics.`final/{key}`" for key in (*rewards, KL)]
    columns = [*metrics, *(f"params.`{key}`" for key in params)]
    return {
        "searchFilter": with_tags({"sweep": sweep, "stage": "ppo"}),
        "orderByKey": metrics[0] if rewards else BY_NAME,
        "orderByAsc": not rewards,
        "selectedColumns": columns,
        "columnOrder": [NAME, *columns],
        "columnWidths": dict.fromkeys(metrics, WIDTH) | {NAME: 2 * WIDTH},
        "runsHiddenMode": "SHOW_ALL",
    }


def charts_view(sweep: str, rewards: Sequence[str], params: Sequence[str]) -> dict[str, Any]:
    """The same runs as charts, each in the colour that `colour_runs` gave it: rewards against KL at
    the end, then what moves by iteration.

    Not grouped by setting: MLflow's page would give each group a colour of its own choice.
    """
    lines = (*(f"eval/{key}" for key in rewards), *MLFLOW_LINES)
    kl = {"key": f"final/{KL}", "type": "METRIC"}
    scatters = [
        {"type": "SCATTER", "xaxis": kl, "yaxis": {"key": f"final/{key}", "type": "METRIC"}}
        for key in rewards
    ]
    state = {"deleted": False, "isGenerated": False}
    common = {"runsCountToCompare": 100, "metricSectionId": SECTION, **state}
    listed = runs_view(sweep, rewards, params)
    del listed["columnWidths"]
    return listed | {
        "compareRunCharts": [
            common | chart | {"uuid": f"{SECTION}-{i}"}
            for i, chart in enumerate([*scatters, *map(_line, lines)])
        ],
        "compareRunSections": [
            {"uuid": SECTION, "name": sweep, "display": True, "isReordered": True, **state}
        ],
        "isAccordionReordered": True,
    }


def _line(key: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "metricKey": key,
        "selectedMetricKeys": [key],
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {"xMin": None, "xMax": None, "yMin": None, "yMax": None},
        "ignoreOutliers": False,
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "useGlobalXaxisKey": True,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "useGlobalLineSmoothing": True,
    }


def describe_experiment(
    uri: str, experiment_id: str, *, sweep: str, answer: str, places: Mapping[str, str]
) -> None:
    """Puts the sweep first in the experiment's description: its answer and the links to its pages.
    The head of the experiment's pages shows it, as one line; MLflow's front page its first words,
    with whatever marks they have: these are plain.

    Other sweeps' lines and whatever a user wrote stay; the oldest sweeps go where it grows too
    long.

    Args:
        places: word -> the part of an address that a page of the same server needs.
    """
    links = ", ".join(f"[{word}]({place})" for word, place in places.items())
    first, dot, rest = (answer or "not answered yet.").partition(". ")
    line = f"{sweep}: {first}{dot or ' '}{links}. {rest}".strip()
    client = connect(uri)
    with one_at_a_time(uri):
        there = client.get_experiment(experiment_id).tags.get(NOTE_TAG, "")
        if (text := _with_line(there, sweep, line)) != there:
            client.set_experiment_tag(experiment_id, NOTE_TAG, text)


def _with_line(there: str, sweep: str, line: str) -> str:
    lines = [line, *(old for old in there.split("\n\n") if old and _sweep_of(old) != sweep)]
    while len("\n\n".join(lines)) > LONGEST and (ours := [*filter(_sweep_of, lines[1:])]):
        lines.remove(ours[-1])
    return "\n\n".join(lines)


def _sweep_of(line: str) -> str | None:
    """The sweep that a line of a description is of; None where it is not ours."""
    match = re.match(r"(\*\*)?(.+?)(?(1)\*\*): .*?\[[\w ]+\]\(#/", line)
    return match[2] if match else None


def colour_runs(client: Client, colours: Mapping[str, str]) -> None:
    """Gives runs (by id) the colour that they have in lists and charts.

    One that a user chose stays: the tag `rlhf.colour` beside it says which we gave last.
    """
    for run_id, colour in colours.items():
        tags = client.get_run(run_id).data.tags
        if tags.get(COLOUR) == tags.get(GIVEN) and tags.get(COLOUR) != colour:
            client.set_tag(run_id, GIVEN, colour)
            client.set_tag(run_id, COLOUR, colour)


def _edited(saved: str | None) -> bool:
    """Whether a user saved the view anew after we did."""
    try:
        view = json.loads(saved or "{}")
    except ValueError:
        return True
    return bool(view.get("updatedAt") != view.get("createdAt"))
