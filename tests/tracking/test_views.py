import json

import pytest

from rlhf.tracking.links import VIEW_TAG as TAG, view_link
from rlhf.tracking.store import prepare_store
from rlhf.tracking.views import runs_view, save_views, settings_view

WANTED = {"sweep": "a/b", "rewards": ["reward/gold"], "params": ["kl.coef", "seed"]}


@pytest.fixture
def experiment(store):
    return prepare_store(store, "views")


def saved(client, experiment, name):
    return json.loads(client.get_experiment(experiment).tags[TAG + name])


def test_both_views_are_in_the_menu_and_a_users_own_stays(client, experiment):
    names = save_views(client, experiment, **WANTED)
    assert names == ("a_b.runs", "a_b.settings")
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
    # as the page asks
    client.search_runs([experiment], view["searchFilter"], order_by=[f"{view['orderByKey']} ASC"])


def test_the_charts_begin_with_reward_against_kl():
    view = settings_view(**WANTED)
    first, second, *rest = view["compareRunCharts"]
    assert (first["type"], first["xaxis"]["key"], first["yaxis"]["key"]) == (
        "SCATTER",
        "eval/kl/sequence_nats",
        "eval/reward/gold",
    )
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
