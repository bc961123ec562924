import math

import pytest

from rlhf import metrics
from rlhf.metrics import COEF, ENDED, GOLD, KL, METRICS, PROXY


def test_the_line_of_a_stage_while_it_trains():
    record = {PROXY: 0.5, GOLD: 0.1, f"eval/{GOLD}": 1.0, f"eval/{KL}": 2.0, KL: 1.234, COEF: 0.05}
    assert metrics.cells(record | {"val/accuracy": 0.75}, metrics.PROGRESS) == {
        **{"proxy": "+0.500", "gold": "+0.100", "KL": "1.23", "coef": "0.05"},
        **{"loss": "", "perplexity": "", "accuracy": "0.750"},
    }
    # a stage without a reward model shows no proxy reward
    shown = metrics.cells({GOLD: 0.1}, metrics.PROGRESS)
    assert (shown["proxy"], shown["gold"]) == ("", "+0.100")


def test_other_rewards_have_columns_of_their_own():
    """A scorer's, the whole before its parts, and those that training has no number of yet."""
    record = {KL: 1.0, "reward/mood": 0.5, "reward/mood_se": 0.1, "eval/reward/combined": 2.0}
    columns = metrics.with_rewards(metrics.LIVE, record, {"reward/disagreement": 0.25})
    assert [column.label for column in columns] == [
        *("proxy", "gold", "combined", "disagreement", "mood", "KL", "coef"),
    ]
    assert metrics.cells(record, columns)["combined"] == "+2.000"
    assert metrics.cells({"reward/disagreement": 0.25}, columns)["disagreement"] == "0.250"
    assert metrics.with_rewards(metrics.LIVE, {PROXY: 1.0, "val/loss": 2.0}) == metrics.LIVE


@pytest.mark.parametrize(
    ("config", "rewards"),
    [
        ({"scorer": "vader"}, ["reward/vader"]),
        ({"scorer": "function", "scorer.function": "a.b.helpful"}, ["reward/helpful"]),
        (
            {"scorer": "function", "scorer.function": "a.b", "scorer.metric": "mine"},
            ["reward/mine"],
        ),
        ({"scorer": "classifier", "scorer.metric": "classifier"}, ["reward/classifier"]),
        (
            {"scorer": "combined", "scorer.parts.b": "vader", "scorer.parts.b.reward_clip": 1},
            ["reward/combined", "reward/b"],
        ),
        ({"scorer": "reward_model"}, []),
        ({"scorer": "ensemble"}, []),
        ({"scorer": "gold"}, []),
        ({}, []),
    ],
)
def test_what_a_run_maximises_beside_proxy_and_gold(config, rewards):
    assert metrics.maximised(config) == rewards


def test_what_is_no_number_is_shown_as_it_is():
    assert metrics.cells({f"eval/{PROXY}": "nan", KL: math.nan}, metrics.LIVE) == {
        **{"proxy": "nan", "gold": "", "KL": "nan", "coef": ""},
    }


def test_each_is_written_once_and_known_to_those_who_show_it():
    assert all(name == metric.name for name, metric in METRICS.items())
    shown = {
        key.removeprefix("eval/").removesuffix("_se")
        for key in (
            *(key for c in (*metrics.PROGRESS, *metrics.LIVE, *metrics.VITALS) for key in c.keys),
            *(*metrics.AVERAGED, *metrics.RUN_COLUMNS),
            *(*metrics.MLFLOW_LINES, *metrics.MLFLOW_FIRST, *metrics.MLFLOW_RESULTS),
        )
    }
    assert shown <= METRICS.keys()


@pytest.mark.parametrize(("name", "better"), [(GOLD, "more"), ("val/loss", "less"), (KL, None)])
def test_which_direction_is_better(name, better):
    assert METRICS[name].better == better


def test_the_signs_of_health_have_their_units():
    labels = [vital.label for vital in metrics.VITALS]
    assert labels[:2] == ["Entropy, nats per token", "Response length, tokens"]
    without = metrics.VITALS[2]
    assert (without.keys[0], without.transform(0.75)) == (ENDED, 0.25)
