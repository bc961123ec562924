import json
from threading import Barrier, Thread

import pytest

from rlhf.tracking.links import NOTE_TAG, VIEW_TAG as TAG, place_of, view_link
from rlhf.tracking.store import prepare_store
from rlhf.tracking.views import (
    COLOUR,
    LONGEST,
    charts_view,
    colour_runs,
    describe_experiment,
    runs_view,
    save_views,
)

WANTED = {"sweep": "a/b", "rewards": ["reward/gold"], "params": ["kl.coef", "seed"]}


@pytest.fixture
def experiment(store):
    return prepare_store(store, "views")


def saved(client, experiment, name):
    return json.loads(client.get_experiment(experiment).tags[TAG + name])


def test_both_views_are_in_the_menu_and_a_users_own_stays(client, experiment):
    names = save_views(client, experiment, **WANTED)
    assert names == ("a_b.runs", "a_b.charts")
    first = saved(client, experiment, names[0])
    assert first["name"] == "a/b: runs"
    assert json.loads(first["state"]) == runs_view(**WANTED)
    save_views(client, experiment, **WANTED | {"params": ["seed"]})
    assert "params.`kl.coef`" not in saved(client, experiment, names[0])["state"]

    by_a_user = first | {"updatedAt": first["createdAt"] + 1}  # as MLflow's page does it
    client.set_experiment_tag(experiment, TAG + names[0], json.dumps(by_a_user))
    save_views(client, experiment, **WANTED | {"params": []})
    assert saved(client, experiment, names[0])["state"] == first["state"]
    assert (
        view_link("http://h", "1", names[0], "CHART")
        == "http://h/#/experiments/1/runs?viewStateShareKey=a_b.runs&compareRunsMode=CHART&workflowType=machine_learning"
    )


def test_the_list_has_what_a_sweep_is_read_by(client, experiment):
    view = runs_view(**WANTED)
    assert view["searchFilter"] == "tags.`sweep` = 'a/b' and tags.`stage` = 'ppo'"
    assert view["selectedColumns"] == [
        "metrics.`final/reward/gold`",
        "metrics.`final/kl/sequence_nats`",
        "params.`kl.coef`",
        "params.`seed`",
    ]
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`final/reward/gold`", False)
    for name, gold in (("few", 1.0), ("many", 2.0)):
        run = client.create_run(experiment, run_name=name, tags={"sweep": "a/b", "stage": "ppo"})
        client.log_metric(run.info.run_id, "final/reward/gold", gold)
    # as the page asks
    runs = client.search_runs(
        [experiment], view["searchFilter"], order_by=[f"{view['orderByKey']} DESC"]
    )
    assert [run.info.run_name for run in runs] == ["many", "few"]


def test_a_list_without_rewards_is_by_name():
    view = runs_view("a", [], ["seed"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("tags.`mlflow.runName`", True)


def test_links_fit_a_screen_and_lead_on_the_same_server():
    link = view_link("http://127.0.0.1:5000", "1", "quickstart.runs", "TABLE")
    assert len(link) <= 110
    assert place_of(link) == link.removeprefix("http://127.0.0.1:5000/")


def test_runs_get_their_colour_and_keep_one_that_a_user_chose(client, experiment):
    ids = [client.create_run(experiment).info.run_id for _ in range(2)]
    colour_runs(client, dict.fromkeys(ids, "#440154"))
    client.set_tag(ids[1], COLOUR, "#ff0000")  # as the page does it
    colour_runs(client, dict.fromkeys(ids, "#addc30"))  # the sweep has grown
    assert [client.get_run(i).data.tags[COLOUR] for i in ids] == ["#addc30", "#ff0000"]


def test_the_experiment_says_of_each_sweep_where_it_is_and_keeps_what_a_user_wrote(
    store, client, experiment
):
    def note():
        return client.get_experiment(experiment).tags[NOTE_TAG]

    def write(sweep, answer):
        describe_experiment(
            store, experiment, sweep=sweep, answer=answer, places={"runs": "#/experiments/1/runs"}
        )

    client.set_experiment_tag(experiment, NOTE_TAG, "Mine.")
    write("a", "Use 0.1.")
    write("b", "Use 0.2.")
    write("a", "Use 0.3.")
    assert note() == (
        "a: Use 0.3. [runs](#/experiments/1/runs).\n\n"
        "b: Use 0.2. [runs](#/experiments/1/runs).\n\nMine."
    )
    for i in range(6):
        write(f"s{i}", "x" * 1000)
    assert len(note()) <= LONGEST
    assert note().startswith("s5: ") and note().endswith("Mine.") and "a: " not in note()


def test_sweeps_that_are_compared_at_once_have_a_line_each(store, client):
    experiment, both = prepare_store(store, "at once"), Barrier(2)

    def compare(name):
        both.wait(30)
        for i in range(8):
            place = {"runs": "#/experiments/1/runs"}
            describe_experiment(
                store, experiment, sweep=f"{name}{i}", answer="Use 0.1.", places=place
            )

    threads = [Thread(target=compare, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = client.get_experiment(experiment).tags[NOTE_TAG].split("\n\n")
    assert {line.partition(":")[0] for line in lines} == {f"{n}{i}" for n in "ab" for i in range(8)}


def test_the_charts_begin_with_reward_against_kl():
    view = charts_view(**WANTED)
    first, second, *rest = view["compareRunCharts"]
    assert (first["type"], first["xaxis"]["key"], first["yaxis"]["key"]) == (
        "SCATTER",
        "final/kl/sequence_nats",
        "final/reward/gold",
    )
    assert "groupBy" not in view  # MLflow would colour the groups by itself
    assert (second["type"], second["metricKey"]) == ("LINE", "eval/reward/gold")
    assert [chart["metricKey"] for chart in rest] == [
        "eval/kl/sequence_nats",
        "kl/coef",
        "eval/response/length",
        "eval/policy/entropy",
    ]
    assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} == {
        section["uuid"] for section in view["compareRunSections"]
    }
    assert len({chart["uuid"] for chart in view["compareRunCharts"]}) == 6


def test_with_two_rewards_a_view_is_short_enough_for_older_servers(client, experiment):
    rewards, params = ["reward/gold", "reward/proxy"], ["kl.controller", "kl.coef", "seed"]
    for name in save_views(
        client, experiment, sweep="fixed_or_steered", rewards=rewards, params=params
    ):
        assert len(client.get_experiment(experiment).tags[TAG + name]) < 5000


def test_a_sweeps_line_is_plain_to_its_first_link(store, client, experiment):
    """MLflow's front page shows the first words as they are written."""

    def note():
        return client.get_experiment(experiment).tags[NOTE_TAG]

    def write(sweep, answer):
        describe_experiment(
            store, experiment, sweep=sweep, answer=answer, places={"runs": "#/experiments/1/runs"}
        )

    write("b", "Use 0.4 of 1.5. One seed tells little.")
    write("c", "")
    assert note().startswith(
        "c: not answered yet. [runs](#/experiments/1/runs).\n\n"
        "b: Use 0.4 of 1.5. [runs](#/experiments/1/runs). One seed tells little."
    )
    by_a_version_before = "**a**: [runs](#/experiments/1/runs). Use 0.1."
    client.set_experiment_tag(experiment, NOTE_TAG, by_a_version_before)
    write("a", "Use 0.3.")
    assert note() == "a: Use 0.3. [runs](#/experiments/1/runs)."
