from urllib.parse import unquote

from rlhf.tracking.links import relabel, run_place, runs_place
from rlhf.tracking.mlflow import MLflowTracker
from rlhf.tracking.state import read_state


def follow(store, directory, experiment, **tags):
    tracker = MLflowTracker(store, experiment)
    tracker.begin(
        directory,
        name=directory.name,
        params={},
        tags={key.replace("__", "."): value for key, value in tags.items()},
    )
    assert tracker.finish("FINISHED", timeout=60) is None
    return read_state(directory)


def note(client, state):
    return client.get_run(state["run_id"]).data.tags.get("mlflow.note.content")


def test_runs_and_the_stages_they_start_from_lead_to_each_other(store, client, rundirs, tmp_path):
    sft, reward = "0123456789abcdef", "fe"
    stage = follow(
        store, rundirs.make_run(tmp_path / "s"), "earlier study", stage="sft", fingerprint=sft
    )
    model = follow(
        store,
        rundirs.make_run(tmp_path / "r"),
        "unit",
        stage="reward_model",
        fingerprint=reward,
        parent__sft=sft,
    )
    directory = rundirs.make_run(tmp_path / "p")
    run = follow(
        store,
        directory,
        "unit",
        stage="ppo",
        sweep="it's",
        parent__sft=sft,
        parent__reward_model=reward,
    )

    sft_link = f"[sft 01234567]({run_place(stage['experiment_id'], stage['run_id'])})"
    search = """tags.`sweep` = "it's\""""
    assert (
        note(client, run)
        == f"Of the sweep [it's]({runs_place(run['experiment_id'], search)}). Starts from"
        f" {sft_link} and [reward_model"
        f" fe]({run_place(model['experiment_id'], model['run_id'])})."
    )
    assert note(client, model).startswith(
        f"Starts from {sft_link}. [Runs of this experiment that start from it](#/experiments/"
    )
    search = unquote(note(client, stage).partition("searchFilter=")[2].partition("&")[0])
    found = client.search_runs([run["experiment_id"], model["experiment_id"]], search)
    assert {found_run.info.run_id for found_run in found} == {run["run_id"], model["run_id"]}


def test_a_stage_that_is_not_in_this_store_is_only_named(store, client, rundirs, tmp_path):
    run = follow(
        store, rundirs.make_run(tmp_path / "p"), "unit", stage="ppo", parent__sft="abcdabcdabcd"
    )
    assert note(client, run) == "Starts from sft abcdabcd."


def test_a_users_description_stays(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "p")
    run = follow(store, directory, "unit", stage="ppo", parent__sft="abcdabcdabcd")
    client.set_tag(run["run_id"], "mlflow.note.content", "mine")
    follow(store, directory, "unit", stage="ppo", parent__sft="abcdabcdabcd")
    assert note(client, run) == "mine"


def test_a_run_is_named_anew_only_if_its_setting_changed(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "kl.coef=0.1 seed=0")
    run = follow(store, directory, "unit", stage="ppo", setting="kl.coef=0.1")["run_id"]
    client.update_run(run, name="by hand")
    relabel(client, run, name="kl.coef=0.1 seed=0", setting="kl.coef=0.1")
    assert client.get_run(run).info.run_name == "by hand"
    relabel(client, run, name="kl.coef=0.1 lr=1 seed=0", setting="kl.coef=0.1 lr=1")
    found = client.get_run(run)
    assert (found.info.run_name, found.data.tags["setting"]) == (
        "kl.coef=0.1 lr=1 seed=0",
        "kl.coef=0.1 lr=1",
    )
    client.delete_run(run)
    relabel(client, run, name="x", setting="y")  # nobody asked for a deleted run to come back
    assert client.get_run(run).info.run_name == "kl.coef=0.1 lr=1 seed=0"
