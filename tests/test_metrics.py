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
