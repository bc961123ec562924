"""A policy as a logged model of MLflow: its card, its files, its settings and its numbers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rlhf.rundir.files import write_text
from rlhf.rundir.secrets.redact import redact_text
from rlhf.tracking.links import MODE, NOTE_TAG, page
from rlhf.tracking.lookup import DIRECTORY_TAG
from rlhf.tracking.models.loaded import describe_model
from rlhf.tracking.state import finite, now, written
from rlhf.tracking.store import Client, connect, one_at_a_time
from rlhf.tracking.summary import note

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

TYPE = "policy"  # MLflow's model_type: models of one are found and compared together
DIGEST_TAG = "policy_sha256"
BEST_TAG = "best"  # of its sweep: true, or false once another is
WEIGHTS_TAG = "weights"
# bytes of weights that are copied into the store; those of a larger model stay where they are, and
# a tag says where
MOST_WEIGHTS = 500_000_000
CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class BestPolicy:
    """What MLflow shall have of the best policy of a sweep."""

    sweep: str
    sweep_directory: Path
    run_id: str  # of the point that trained it
    folder: Path  # in Hugging Face format
    digest: str  # of its weights
    card: str  # markdown, opened by YAML
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def log_best_policy(uri: str, experiment_id: str, summary_run: str, best: BestPolicy) -> str:
    """Makes the logged model, or brings the card of the one that is there up to date; one of the
    sweep that was the best before is marked so. Returns its id. Raises what MLflow raises."""
    client = connect(uri)
    with one_at_a_time(uri):  # of two comparisons the later finds the model of the other
        return _logged(client, experiment_id, summary_run, best)


def _logged(client: Client, experiment_id: str, summary_run: str, best: BestPolicy) -> str:
    place = str(best.sweep_directory.absolute())
    there = _of_sweep(client, experiment_id, best.sweep, place)
    current = next((m for m in there if m.tags.get(DIGEST_TAG) == best.digest), None)
    for other in there:
        if other is not current and other.tags.get(BEST_TAG) != "false":
            client.set_logged_model_tags(other.model_id, {BEST_TAG: "false"})
    if current is None:
        current = _created(client, experiment_id, place, best)
        try:
            _send_files(client, current.model_id, best)
            _send_metrics(client, summary_run, current.model_id, best)
        except BaseException:
            client.finalize_logged_model(current.model_id, "FAILED")
            raise
        client.finalize_logged_model(current.model_id, "READY")
    else:
        _send_card(client, current.model_id, best.card)
    client.set_logged_model_tags(
        current.model_id, {BEST_TAG: "true", NOTE_TAG: note(_body(best.card))}
    )
    return str(current.model_id)


def model_link(uri: str, experiment_id: str, model_id: str) -> str:
    """The address of a logged model's page."""
    return f"{page(uri)}#/experiments/{experiment_id}/models/{model_id}?{MODE}"


def model_name(sweep: str) -> str:
    """A name that MLflow takes: none of `/ : . % " '` in it."""
    return re.sub(r"""[/:.%"']""", "_", f"{sweep} best policy")[:250]


def _of_sweep(client: Client, experiment_id: str, sweep: str, place: str) -> list[LoggedModel]:
    """The logged models of a sweep's directory that are whole."""
    models = client.search_logged_models(
        experiment_ids=[experiment_id], filter_string=f"name = '{model_name(sweep)}'"
    )
    return [m for m in models if m.tags.get(DIRECTORY_TAG) == place and str(m.status) == "READY"]


def _created(client: Client, experiment_id: str, place: str, best: BestPolicy) -> LoggedModel:
    kept = {} if _copied(best.folder) else {WEIGHTS_TAG: str(best.folder.absolute())}
    tags = {
        **best.tags,
        "sweep": best.sweep,
        DIRECTORY_TAG: place,
        DIGEST_TAG: best.digest,
        **kept,
    }
    return client.create_logged_model(
        experiment_id,
        name=model_name(best.sweep),
        source_run_id=best.run_id,
        tags={key: redact_text(str(value))[:500] for key, value in tags.items()},
        params=written(best.params),
        model_type=TYPE,
    )


def _copied(folder: Path) -> bool:
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return weights <= MOST_WEIGHTS


def _send_files(client: Client, model_id: str, best: BestPolicy) -> None:
    """The directory and its card; without the weights where they are large."""
    left_out = () if _copied(best.folder) else ("*.safetensors",)
    with TemporaryDirectory() as aside:
        whole = Path(aside) / "policy"
        shutil.copytree(best.folder, whole, ignore=shutil.ignore_patterns(*left_out))
        write_text(whole / CARD, best.card)
        if not left_out:
            describe_model(whole, model_id)
        client.log_model_artifacts(model_id, str(whole))


def _send_card(client: Client, model_id: str, card: str) -> None:
    with TemporaryDirectory() as aside:
        write_text(Path(aside) / CARD, card)
        client.log_model_artifact(model_id, str(Path(aside) / CARD))


def _send_metrics(client: Client, run_id: str, model_id: str, best: BestPolicy) -> None:
    """On the sweep's summary run, whose charts have a section for them."""
    from mlflow.entities import Metric

    stamp = now()
    metrics = [
        Metric(f"best/{key}", value, stamp, 0, model_id=model_id)
        for key, value in finite(best.metrics).items()
    ]
    client.log_batch(run_id, metrics=metrics, synchronous=True)


def _body(card: str) -> str:
    """The card without its YAML."""
    return card.partition("\n---\n")[2].lstrip() if card.startswith("---\n") else card
