import json
import math

from rlhf.compare.read import realigned
from rlhf.compare.read.runs import load_run
from tests.compare.made import realign


def test_the_curves_of_a_run_by_lambda(rundirs, tmp_path):
    """The sampled KL is 0.5 more than the exact one, which has less noise."""
    place = rundirs.make_run(tmp_path / "run")
    stops = {1.0: (4.0, 1.0, 1.5), 0.0: (0.0, 0.0, 1.0), 0.5: (1.5, 0.6, 1.3)}
    realign(place, {"decoding": stops, "weights": stops}, seconds=7.0)
    decoding, weights = realigned(load_run(place))
    assert [stop.share for stop in decoding.stops] == [0.0, 0.5, 1.0]
    middle = decoding.stops[1]
    assert (middle.values["kl/sequence_nats"], middle.errors["kl/sequence_nats"]) == (1.5, 0.1)
    assert (middle.values["reward/gold"], middle.own, weights.by) == (1.3, False, "weights")
    assert (decoding.cpu_seconds, decoding.prompts) == (7.0, 64)
    assert decoding.rewards == ["reward/proxy", "reward/gold"]


def test_the_sampled_kl_where_there_is_no_exact_one(rundirs, tmp_path):
    place = rundirs.make_run(tmp_path / "run")
    points = [{"lambda": 0.5, "kl/sequence_nats": -0.1}, {"lambda": "x"}, 3, {"lambda": "nan"}]
    (place / "realign.json").write_text(
        json.dumps({"curves": [{"by": "weights", "points": points}]})
    )
    (curve,) = realigned(load_run(place))
    (stop,) = curve.stops
    assert stop.values["kl/sequence_nats"] == 0.0  # below 0 is noise
    assert math.isnan(stop.errors["kl/sequence_nats"]) and math.isnan(curve.cpu_seconds)


def test_nothing_there_and_nothing_in_it(rundirs, tmp_path):
    place = rundirs.make_run(tmp_path / "run")
    assert realigned(load_run(place)) == []
    (place / "realign.json").write_text(json.dumps({"curves": [None, {"by": "weights"}]}))
    assert realigned(load_run(place)) == []
