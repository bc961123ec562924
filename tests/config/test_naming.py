import json

import pytest

from rlhf.config import naming
from rlhf.config.naming import HASH_VERSION
from rlhf.digests import one_spelling

PLAIN = {
    "stage": "ppo",
    "seed": 1,
    "study": "a",
    "paths": {"outputs": "outputs"},
    "sft": {"seed": 3},
    "reward_model": {"seed": 4},
    "ppo": {"iterations": 60},
    "kl": {"coef": 0.05, "controller": {"_target_": "rlhf.kl.controller.AdaptiveAlpacaFarm"}},
}


def changed(**values):
    return {**PLAIN, **values}


def test_slug_says_coefficient_controller_and_seed():
    assert naming.slug(PLAIN) == "kl0.05-adaptive_alpaca_farm-seed1"
    assert naming.slug(changed(stage="sft")) == "sft-seed3"
    assert naming.slug(changed(stage="reward_model")) == "reward_model-seed4"


def test_a_stage_is_called_by_its_algorithm():
    grpo = changed(algorithm={"_target_": "rlhf.modules.algorithms.policy_gradient.GRPO"})
    assert naming.stage_title(PLAIN, "ppo") == "ppo"  # of older configs, which name none
    assert naming.stage_title(grpo, "ppo") == "grpo"
    assert naming.stage_title(grpo, "reward_model") == "reward_model"


def test_name_is_slug_and_eight_hex():
    name = naming.run_name(PLAIN)
    assert name.startswith("kl0.05-adaptive_alpaca_farm-seed1-")
    assert len(name.rpartition("-")[2]) == 8


def test_hash_is_the_same_in_every_process():
    """Worked out once: it names directories that must be found again."""
    # sha256sum of the sorted JSON
    assert naming.run_hash({"stage": "ppo", "kl": {"coef": 0.5}, "seed": 0}) == "7043ead8"


@pytest.mark.parametrize(
    "value",
    [
        {"study": "b"},
        {"paths": {"outputs": "elsewhere"}},
        {"tracking": {}},
        {"callbacks": {}},
        {"sweep": "s"},
        {"rerun": True},
        {"time_limit": "2h"},
        {"requeue": True},
    ],
)
def test_hash_ignores_what_does_not_decide_the_result(value):
    assert naming.run_hash(changed(**value)) == naming.run_hash(PLAIN)


@pytest.mark.parametrize(
    "value", [{"seed": 2}, {"ppo": {"iterations": 61}}, {"sft": {"seed": 4}}, {"stage": "sft"}]
)
def test_hash_follows_what_decides_it(value):
    assert naming.run_hash(changed(**value)) != naming.run_hash(PLAIN)


def test_an_early_stage_is_not_renamed_by_a_later_ones_settings():
    first = naming.run_name(changed(stage="sft"))
    assert naming.run_name(changed(stage="sft", ppo={"iterations": 1}, seed=9)) == first
    assert naming.run_name(changed(stage="reward_model", ppo={"iterations": 1})) == naming.run_name(
        changed(stage="reward_model")
    )


def test_one_spelling_of_a_number():
    zero = {**PLAIN["kl"], "coef": 0}
    assert naming.run_name(changed(kl=zero)) == naming.run_name(changed(kl={**zero, "coef": 0.0}))
    assert one_spelling([1.0, True, "1.0", {"a": 2.5}]) == [1, True, "1.0", {"a": 2.5}]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1e-05, "0.00001"), (0.30, "0.3"), (100.0, "100"), ("a b/c", "a_b_c")],
)
def test_number(value, text):
    assert naming.number(value) == text


def test_sweep_name():
    plain = {"study": "s", "sweep": None}
    name = naming.sweep_name(plain, ["b=1", "a=2"])
    assert name.startswith("s-")
    assert name == naming.sweep_name(plain, ["a=2", "b=1"])
    assert name != naming.sweep_name(plain, ["a=2", "b=3"])
    assert naming.sweep_name({"study": "s", "sweep": "mine"}, ["a=2"]) == "mine"


def test_rerun_takes_the_first_directory_that_is_not_finished(tmp_path):
    base = tmp_path / "run"
    assert naming.run_directory(base, rerun=True) == base
    base.mkdir()
    (base / "summary.json").write_text('{"status": "finished"}')
    assert naming.run_directory(base, rerun=False) == base
    again = naming.run_directory(base, rerun=True)
    assert again == tmp_path / "run-rerun1"
    again.mkdir()
    (again / "summary.json").write_text('{"status": "failed"}')
    assert naming.run_directory(base, rerun=True) == again
    (again / "summary.json").write_text('{"status": "finished"}')
    assert naming.run_directory(base, rerun=True) == tmp_path / "run-rerun2"


def test_how_often_a_run_is_saved_does_not_name_it():
    from rlhf.config.compose import compose
    from rlhf.config.validate import validate

    def name(*overrides):
        return validate(compose(overrides)).paths.run_name

    assert (
        name()
        == name("ppo.checkpoint_every=1", "sft.checkpoint_every=2", "evaluation.samples=3")
        != name("evaluation.every=1")
    )


def test_directories_of_another_version_of_the_hash_are_told_from_todays(tmp_path):
    """A manifest without a version is of the first; a folder without a manifest is nobody's."""
    manifests = {
        "a-1": {"git": {"revision": "0123456789abcdef"}},
        "a-2": {"hash_version": HASH_VERSION},
        "a-3": {"hash_version": HASH_VERSION + 1, "git": {}},
        "b-1": {"kind": "run"},
    }
    for name, manifest in manifests.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "a-4").mkdir()
    assert naming.older_runs(tmp_path) == [tmp_path / name for name in ("a-1", "a-3", "b-1")]
    assert naming.older_runs(tmp_path, "a-*") == [tmp_path / "a-1", tmp_path / "a-3"]
    assert naming.other_version(tmp_path / "a-1") == (
        f"{tmp_path / 'a-1'} was made before version {HASH_VERSION} of the run hash (git revision"
        " 0123456789ab): compare works; to go on with it or reproduce it, use that revision"
    )
    assert "was made after version" in naming.other_version(tmp_path / "a-3")
    assert "(git revision not recorded)" in naming.other_version(tmp_path / "b-1")
    assert naming.other_version(tmp_path / "a-2") == naming.other_version(tmp_path / "a-4") == ""


def test_a_numbers_name_is_bounded():
    """1e-300 would be 302 characters, more than a folder's name may have."""
    assert naming.number(1e-300) == "1e-300"
    assert naming.number(1e300) == "1e300"
    assert naming.number(0.0000000000000000001) == "0.0000000000000000001"  # as ever
