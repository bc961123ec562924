import json

from rlhf.config.titles import question, run_label, setting, varied

FIXED = {"kl.coef": 0.05, "kl.controller": "fixed", "seed": 3}
PID = FIXED | {"kl.controller": "pid"}


def sweep(place, overrides, *jobs):
    listed = [{"name": str(i), "overrides": list(job)} for i, job in enumerate(jobs)]
    (place / "sweep.json").write_text(json.dumps({"overrides": overrides, "jobs": listed}))


def test_a_run_is_named_by_coefficient_controller_and_seed():
    assert run_label(FIXED, {}) == "kl.coef=0.05 seed=3"
    assert run_label(PID, {}) == "kl.coef=0.05 pid seed=3"
    assert (
        run_label(FIXED, {"kl.controller": "fixed", "kl.coef": "0.05", "seed": "3"})
        == "kl.coef=0.05 fixed seed=3"
    )


def test_and_by_its_algorithm_where_it_is_not_ppo():
    assert setting(FIXED | {"algorithm": "ppo"}, {}) == "kl.coef=0.05"
    assert run_label(FIXED | {"algorithm": "rloo"}, {}) == "rloo kl.coef=0.05 seed=3"
    assert setting(FIXED | {"algorithm": "mine.algorithms.Best"}, {}) == "Best kl.coef=0.05"
    varies = {"algorithm": "rloo"}
    assert setting(FIXED | {"algorithm": "rloo"}, varies) == "kl.coef=0.05 algorithm=rloo"


def test_and_by_whatever_else_its_sweep_varies():
    assert setting(PID, {"ppo.optimizer.lr": "0.001", "seed": "3"}) == "kl.coef=0.05 pid lr=0.001"
    assert (
        setting(FIXED, {"ppo.optimizer.lr": "1", "sft.optimizer.lr": "2"})
        == "kl.coef=0.05 ppo.optimizer.lr=1 sft.optimizer.lr=2"
    )


def test_a_job_has_its_part_of_what_the_sweep_varies(tmp_path):
    common = ["ppo.iterations=6", "experiment=e"]
    sweep(
        tmp_path,
        ["kl/controller=fixed,pid", "seed=0,1", *common, "+hub.token=a,b", "tracking.uri=c,d"],
        ["kl/controller=fixed", "seed=0", *common, "+hub.token=a", "tracking.uri=c"],
        ["kl/controller=pid", "seed=1", *common, "+hub.token=b", "tracking.uri=d"],
    )
    assert varied(tmp_path / "1") == {"kl.controller": "pid", "seed": "1", "hub.token": "***"}
    assert varied(tmp_path / "of another command") == {}


def test_a_value_that_a_later_command_adds_counts_for_earlier_jobs_too(tmp_path):
    sweep(tmp_path, ["ppo.iterations=40", "seed=0"], ["ppo.iterations=40", "seed=0"])
    assert varied(tmp_path / "0") == {}
    sweep(
        tmp_path,
        ["ppo.iterations=60", "seed=0"],
        ["ppo.iterations=40", "seed=0"],
        ["ppo.iterations=60", "seed=0"],
    )
    assert varied(tmp_path / "0") == {"ppo.iterations": "40"}


def test_a_search_says_what_it_varies_from_its_first_job_on(tmp_path):
    sweep(tmp_path, ["experiment=find"], ["experiment=find", "kl.coef=0.1"])
    assert varied(tmp_path / "0") == {"kl.coef": "0.1"}


def test_a_single_run_is_in_no_sweep(tmp_path):
    assert varied(tmp_path / "run") == {}


def test_an_experiment_brings_its_question():
    asked = question(["seed=0", "experiment=kl_coef_sweep"])
    assert asked == "How does the KL coefficient trade reward for distance from the SFT policy?"
    assert question(["kl.coef=0,1"]) is question(["experiment=of_my_own"]) is None
