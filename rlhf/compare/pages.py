"""What MLflow's own pages show of a sweep: saved views, the runs' colours, the experiment's
description."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rlhf.compare.figures.style import styles_of
from rlhf.compare.statistics import Study
from rlhf.metrics import GOLD
from rlhf.tracking.links import place_of, view_link
from rlhf.tracking.store import connect
from rlhf.tracking.views import colour_runs, describe_experiment, save_views

# the words of a description -> the links that a command prints
PAGES = {
    **{"answer": "summary", "runs": "runs", "charts": "charts"},
    **{"samples": "samples", "best policy": "best policy"},
}


def view_links(uri: str, experiment_id: str, sweep: str, study: Study) -> dict[str, str]:
    """Saves the views. {} where a server takes none: nothing else is lost by that."""
    try:
        listed, charted = save_views(
            connect(uri),
            experiment_id,
            sweep=sweep,
            rewards=sorted(study.rewards, key=lambda key: key != GOLD),
            params=[*study.differing, "seed"],
        )
    except Exception:  # of MLflow or any library below it
        return {}
    return {
        "runs": view_link(uri, experiment_id, listed, "TABLE"),
        "charts": view_link(uri, experiment_id, charted, "CHART"),
        "samples": view_link(uri, experiment_id, listed, "ARTIFACT"),
    }


def introduce(
    uri: str, sweep: str, study: Study, links: Mapping[str, str], ids: Mapping[str, str]
) -> None:
    """Gives the runs the colours that their settings have in the report, and the experiment a
    description that leads to the sweep's pages. Nothing where the sweep has no views.

    Args:
        ids: a run's name -> its id in MLflow.
    """
    if "runs" not in links:
        return
    client, looks = connect(uri), styles_of(study.settings)
    colour_runs(
        client,
        {
            ids[run.name]: looks[setting.label][0]
            for setting, run in study.members
            if run.name in ids
        },
    )
    experiment_id = client.get_run(next(iter(ids.values()))).info.experiment_id
    describe_experiment(
        uri,
        experiment_id,
        sweep=sweep,
        answer=_answer(study),
        places={word: place_of(links[key]) for word, key in PAGES.items() if key in links},
    )


def _answer(study: Study) -> str:
    """The sentence that the report opens with."""
    text = (study.directory / "report.md").read_text(encoding="utf-8")
    opening = re.search(r"^\*\*(.+)\*\*$", text, re.MULTILINE)
    return opening[1] if opening else ""
