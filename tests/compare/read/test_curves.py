from rlhf.compare.read.curves import best_of_n, evaluations, rollouts, series
from rlhf.compare.read.runs import load_run


def test_evaluations_are_the_finite_ones_and_kl_is_never_below_zero(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "r", gold=2.0, kl=-0.2, iterations=2)
    rundirs.append(
        run / "metrics.jsonl",
        {"iteration": 3, "kl/sequence_nats": 4.0},
        {"iteration": 4, "eval/reward/gold": "nan"},
    )
    path = evaluations(load_run(run), "reward/gold")
    assert [(e.iteration, e.kl, e.reward) for e in path] == [
        (0, 0.0, 1.0),
        (1, 0.0, 1.5),
        (2, 0.0, 2.0),
    ]
    assert [e.reward_se for e in path] == [0.1] * 3
    assert evaluations(load_run(run), "reward/nobody") == []


def test_a_rollout_is_of_the_policy_before_its_update(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "r", iterations=1)
    own = {"kl/sequence_nats": 4.0, "kl/sequence_nats_se": 0.2}
    rundirs.append(
        run / "metrics.jsonl",
        {"iteration": 2, **own, "reward/gold": 1.5, "reward/gold_se": 0.1},
        {"iteration": 3, **own},
    )
    (rolled,) = rollouts(load_run(run), "reward/gold")
    assert (rolled.iteration, rolled.kl, rolled.kl_se, rolled.reward, rolled.reward_se) == (
        *(1, 4.0, 0.2),
        *(1.5, 0.1),
    )
    assert rolled.rollout and not evaluations(load_run(run), "reward/gold")[0].rollout


def test_rollouts_whose_kl_is_to_a_moving_reference_do_not_count(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "r", iterations=1)
    row = {"iteration": 2, "kl/sequence_nats": 4.0, "reward/gold": 1.5}
    rundirs.append(run / "metrics.jsonl", row | {"eval/kl/moving_reference_nats": 0.3})
    assert rollouts(load_run(run), "reward/gold") == []


def test_rollouts_of_an_older_policy_do_not_count(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "r", iterations=1)
    row = {"kl/sequence_nats": 0.0, "reward/gold": 1.5}
    behind = ({"iteration": 2 + n, **row, "rollout/behind": float(n)} for n in range(3))
    rundirs.append(run / "metrics.jsonl", *behind)
    assert [e.iteration for e in rollouts(load_run(run), "reward/gold")] == [1]
    rundirs.append(run / "metrics.jsonl", {"iteration": 5, **row, "eval/reward/gold": 9.0})
    shown = series(load_run(run), "reward/gold", "eval/reward/gold")
    assert shown[-2:] == [(2, 1.5), (5, 1.5)]  # 3 and 4 have no evaluation
    assert [i for i, _ in series(load_run(run), "reward/gold")][-3:] == [3, 4, 5]


def test_series_take_the_first_key_that_a_row_has(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "r", iterations=1)
    rundirs.append(
        run / "metrics.jsonl",
        {"iteration": 2, "a": 7.0, "eval/reward/gold": 3.0},
        {"iteration": 3, "a": "inf"},
    )
    assert series(load_run(run), "a", "eval/reward/gold") == [(0, 1.0), (1, 1.5), (2, 7.0)]


def test_read_from_the_first_run_that_has_it(rundirs, tmp_path):
    without, run = rundirs.make_run(tmp_path / "a"), rundirs.make_run(tmp_path / "b")
    assert best_of_n([load_run(without), load_run(run)]) == []
    points = [
        {"n": 4, "kl/sequence_nats": 0.64, "reward/gold": 2.0, "reward/gold_se": 0.1},
        {"n": 1, "kl/sequence_nats": 0.0, "reward/gold": 1.0},
    ]
    rundirs.write(run / "best_of_n.json", {"points": points})
    found = best_of_n([load_run(without), load_run(run)])
    assert [(p.n, p.kl, p.rewards) for p in found] == [
        (1, 0.0, {"reward/gold": 1.0}),
        (4, 0.64, {"reward/gold": 2.0}),
    ]
