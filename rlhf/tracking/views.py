"""A sweep's saved views: what MLflow's list of runs and its charts open on. They stand in the
page's menu "Views".

MLflow keeps a view as a tag of the experiment. One that a user has saved anew stays as the user
left it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from rlhf.metrics import KL, MLFLOW_LINES
from rlhf.tracking.links import BY_NAME, VIEW_TAG, compact, view_name, with_tags
from rlhf.tracking.state import now
from rlhf.tracking.store import Client

WIDTH = 150  # pixels of a metric's column
NAME = "attributes.`Run Name`"  # the column
SECTION = "rlhf"


def save_views(
    client: Client,
    experiment_id: str,
    *,
    sweep: str,
    rewards: Sequence[str],
    params: Sequence[str],
) -> tuple[str, str]:
    """Saves the list of the sweep's runs and the charts of its settings, and returns the names of
    both for `view_link`.

    Args:
        rewards: `reward/gold`, ..., the one that decides first.
        params: what the sweep varies.
    """
    there = client.get_experiment(experiment_id).tags

    def save(kind: Literal["runs", "settings"], state: dict[str, Any]) -> str:
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
        "settings", settings_view(sweep, rewards, params)
    )


def runs_view(sweep: str, rewards: Sequence[str], params: Sequence[str]) -> dict[str, Any]:
    """All runs by name: rewards and KL at the end, and what the sweep varies."""
    metrics = [f"metrics.`final/{key}`" for key in (*rewards, KL)]
    columns = [*metrics, *(f"params.`{key}`" for key in params)]
    return {
        "searchFilter": with_tags({"sweep": sweep, "stage": "ppo"}),
        "orderByKey": BY_NAME,
        "orderByAsc": True,
        "selectedColumns": columns,
        "columnOrder": [NAME, *columns],
        "columnWidths": dict.fromkeys(metrics, WIDTH) | {NAME: 2 * WIDTH},
        "runsHiddenMode": "SHOW_ALL",
    }


def settings_view(sweep: str, rewards: Sequence[str], params: Sequence[str]) -> dict[str, Any]:
    """The same runs, a colour a setting and the mean over its seeds: rewards against KL, then
    what moves by iteration."""
    lines = (*(f"eval/{key}" for key in rewards), *MLFLOW_LINES)
    kl = {"key": f"eval/{KL}", "type": "METRIC"}
    scatters = [
        {"type": "SCATTER", "xaxis": kl, "yaxis": {"key": f"eval/{key}", "type": "METRIC"}}
        for key in rewards
    ]
    state = {"deleted": False, "isGenerated": False}
    common = {"runsCountToCompare": 100, "metricSectionId": SECTION, **state}
    listed = runs_view(sweep, rewards, params)
    del listed["columnWidths"]
    return listed | {
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": "setting"}],
        },
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


def _edited(saved: str | None) -> bool:
    """Whether a user saved the view anew after we did."""
    try:
        view = json.loads(saved or "{}")
    except ValueError:
        return True
    return bool(view.get("updatedAt") != view.get("createdAt"))
