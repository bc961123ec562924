"""Which policy of a sweep MLflow's model pages show."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from rlhf.compare import compare
from rlhf.compare.best import best_run
from rlhf.compare.read import load
from rlhf.compare.statistics.study import study
from rlhf.rundir.read import read_json
from rlhf.tracking.state import open_state
from rlhf.tracking.store import connect


@pytest.fixture
def sweep(rundirs, tmp_path):
    """Two settings of two seeds; kl.coef=0.1 has more gold, and of it seed 1."""
    for coef, gold in ((0.0, 1.2), (0.1, 3.0)):
        for seed in (0, 1):
            name = f"c{coef}-{seed}"
            rundirs.make_run(tmp_path / "s" / name, coef=coef, seed=seed, gold=gold + seed / 10)
    return tmp_path / "s"


def test_of_the_setting_that_is_highest_the_seed_with_the_most_of_the_reward(sweep):
    assert best_run(study(sweep, load(sweep))).name == "c0.1-1"


def test_a_setting_whose_responses_never_end_is_not_shown(sweep):
    known = study(sweep, load(sweep))
    nothing = SimpleNamespace(findings=SimpleNamespace(praised=None, key="reward/gold"))
    assert best_run(nothing) is None
    assert best_run(replace(known, findings=None)) is None


def with_policies(sweep, rundirs, uri):
    for run in load(sweep):
        folder = run.directory / "policy"
        folder.mkdir()
        rundirs.write(folder / "config.json", {})
        (folder / "model.safetensors").write_bytes(b"x")
        open_state(
            run.directory,
            uri=uri,
            experiment="unit",
            name=run.name,
            params={},
            tags={"stage": "ppo"},
        )


@pytest.mark.slow
def test_a_comparison_logs_the_best_policy_once(sweep, rundirs, store, client):
    with_policies(sweep, rundirs, store)
    made = compare(sweep)
    assert made.warnings == ()
    model_id = made.links["best policy"].partition("/models/")[2].partition("?")[0]
    model = client.get_logged_model(model_id)
    assert model.source_run_id == read_json(sweep / "c0.1-1" / "tracking.json")["run_id"]
    assert (
        model.tags["run"] == "c0.1-1" and "reward/gold | 3.1" in model.tags["mlflow.note.content"]
    )
    assert {metric.key for metric in model.metrics} >= {"best/reward/gold", "best/kl/sequence_nats"}
    assert compare(sweep).links["best policy"] == made.links["best policy"]


def test_what_mlflow_does_not_take_is_a_warning_beside_the_rest(sweep, rundirs, store):
    with_policies(sweep, rundirs, store)
    bad = sweep / "c0.1-1" / "policy" / "bad"
    bad.symlink_to("nowhere")  # it cannot be copied
    made = compare(sweep)
    (warning,) = made.warnings
    assert warning.startswith("The best policy is no model in MLflow at sqlite:///")
    assert {"summary", "side by side"} <= made.links.keys() and connect(store)


def test_without_its_policy_on_this_disk_there_is_no_model(sweep, rundirs, store):
    with_policies(sweep, rundirs, store)
    (sweep / "c0.1-1" / "policy" / "config.json").unlink()
    made = compare(sweep)
    assert made.warnings == () and "best policy" not in made.links
