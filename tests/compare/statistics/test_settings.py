import json

import pytest

from rlhf.compare.read.runs import load
from rlhf.compare.statistics.settings import copied, differing, group
from rlhf.compare.text.settings import reading


def test_a_seed_counts_once(rundirs, tmp_path):
    """The second seed ran twice; the copy that finished later, 3.0, counts. Mean of 1 and 3."""
    rundirs.make_run(tmp_path / "s0", seed=0, gold=1.0)
    rundirs.make_run(tmp_path / "s1", seed=1, gold=2.0)
    assert "left out" not in reading(group(load(tmp_path)))
    late = rundirs.make_run(tmp_path / "s1-rerun1", seed=1, gold=3.0)
    status = json.loads((late / "status.json").read_text())
    rundirs.write(late / "status.json", status | {"time": status["time"] + 1})
    rundirs.make_run(tmp_path / "s2", seed=2, state="failed")
    (setting,) = group(load(tmp_path))
    assert [run.name for run in setting.runs] == ["s0", "s1-rerun1"] and [
        run.name for run in setting.copies
    ] == ["s1"]
    assert (setting["reward/gold"].mean, setting["reward/gold"].n) == (2.0, 2)
    assert copied([setting]) == {"s1": "s1-rerun1"}
    assert "1 run repeats a seed of its setting and is left out here" in reading([setting])


@pytest.mark.parametrize("seeds", [(None, None), (0, 0)])
def test_runs_that_do_not_say_their_seed_all_count(rundirs, tmp_path, seeds):
    for i, seed in enumerate(seeds):
        rundirs.make_run(tmp_path / f"r{i}", seed=seed)
    (setting,) = group(load(tmp_path))
    assert (len(setting.runs), len(setting.copies)) == ((2, 0) if seeds[0] is None else (1, 1))


def test_values_lose_their_logins(rundirs, tmp_path):
    for i, host in enumerate("ab"):
        rundirs.make_run(
            tmp_path / host, seed=i, config={"data": {"url": f"https://me:s3cret@{host}/x"}}
        )
    assert differing(load(tmp_path))["data.url"] == {"a": "https://***@a/x", "b": "https://***@b/x"}


def test_one_directory_under_two_names_counts_once(rundirs, tmp_path):
    """Also where the runs do not say their seed."""
    rundirs.make_run(tmp_path / "a", seed=None)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (setting,) = group(load(tmp_path))
    assert len(setting.runs) == len(setting.copies) == 1


def test_secrets_are_hidden_by_their_key_and_in_lists(rundirs, tmp_path):
    for i in range(2):
        config = {
            "judge": {"api_key": f"sk-{i}"},
            "data": {"files": [f"https://me:pw{i}@host/x"]},
            "ppo": {"lr": 0.1 * i},
        }
        rundirs.make_run(tmp_path / str(i), config=config)
    assert list(differing(load(tmp_path))) == ["ppo.lr"]
    rundirs.make_run(tmp_path / "none", config={"ppo": {"lr": 0.5}, "judge": {"api_key": None}})
    assert differing(load(tmp_path))["judge.api_key"] == {"0": "***", "1": "***", "none": None}


def test_values_that_few_digits_would_merge_are_written_in_full(rundirs, tmp_path):
    for i, coef in enumerate((0.12345671, 0.12345672)):
        rundirs.make_run(tmp_path / str(i), coef=coef)
    assert [s.label for s in group(load(tmp_path))] == ["kl.coef=0.12345671", "kl.coef=0.12345672"]


def test_a_setting_without_the_key_and_a_name_that_cannot_be_printed(rundirs, tmp_path):
    for name, data in (("a", {}), ("b", {"name": "x\x1by\nz"})):
        rundirs.make_run(tmp_path / name, config={"data": data} if data else {})
    assert {s.label for s in group(load(tmp_path))} == {"without data.name", "data.name=x y z"}


def test_a_kl_below_zero_is_noise(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", kl=-0.01)
    (setting,) = group(load(tmp_path))
    assert setting["kl/sequence_nats"].mean == 0.0


def test_functions_are_told_apart_by_name_before_their_code(rundirs, tmp_path):
    """By the code where it alone differs."""
    for name, function, code in (("a", "m.one", "01"), ("b", "n.two", "02"), ("c", "n.two", "03")):
        scorer = {"_target_": "rlhf.rewards.function.FunctionScorer"}
        scorer |= {"function": function, "_code_": code}
        rundirs.make_run(tmp_path / name, config={"scorer": scorer})
    runs = load(tmp_path)
    assert [*differing(runs[:2])] == ["scorer.function"]
    assert [*differing(runs[1:])] == ["scorer._code_"]


LORA = {"kind": "lora", "sharing": "backbone", "r": 16}


def adapted(adapter, part):
    stages = {name: {"trained": part} for name in ("sft", "reward_model")}
    return {**stages, "adapter": adapter}


def test_an_adapter_is_told_by_its_name_and_not_by_what_comes_with_it(rundirs, tmp_path):
    """`model/adapter=none,lora` moves where roles stand and what stages train, too."""
    plain = adapted({"kind": "none", "sharing": "separate"}, "all")
    for name, config in (("a", plain), ("b", adapted(LORA, "adapter"))):
        rundirs.make_run(tmp_path / name, config=config)
    assert [s.label for s in group(load(tmp_path))] == ["adapter=lora", "adapter=none"]
    rundirs.make_run(tmp_path / "c", config=adapted({**LORA, "r": 8}, "adapter"))
    assert {s.label for s in group(load(tmp_path))} == {
        *("adapter=none", "adapter=lora adapter.r=8", "adapter=lora adapter.r=16")
    }
    rundirs.make_run(tmp_path / "d", config=adapted(LORA, "all"))
    assert "reward_model.trained" in differing(load(tmp_path))


def test_a_run_of_before_there_were_adapters_and_micro_batches_has_the_setting_of_one_now(
    rundirs, tmp_path
):
    rundirs.make_run(tmp_path / "before", seed=0, config={"trainer": {"threads": 1}})
    rundirs.make_run(
        tmp_path / "now",
        seed=1,
        config={
            "adapter": {"kind": "none", "sharing": "separate"},
            "generation": {"micro_batch_size": None, "micro_batch_tokens": None},
            "trainer": {"threads": 1, "gradient_checkpointing": False, "devices": 2},
            "model": {"attention": "auto"},
        },
    )
    (setting,) = group(load(tmp_path))
    assert len(setting.runs) == 2
