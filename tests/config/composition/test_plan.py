from itertools import product

import pytest

from rlhf.config.naming import run_hash
from rlhf.config.plugins.folders import conf_dir
from rlhf.config.validate import ConfigError, validate

# A command line and a part of each fault that it must give.
WRONG = [
    (["kl.coef=abc"], ["kl.coef=abc: expected a number >= 0"]),
    (["kl.coef=-0.1"], ["kl.coef=-0.1: expected a number >= 0"]),
    (["kl.coef=inf"], ["kl.coef=Infinity: expected a number >= 0; it must be finite"]),
    (["seed=1.5"], ["seed=1.5: expected a whole number"]),
    (["rerun=1"], ["rerun=1: expected true or false"]),
    (
        ["time_limit=soon"],
        ["time_limit=soon: 'soon' is no duration; write 90s, 30m, 2h,"],
    ),
    (["time_limit=0"], ["time_limit=0: 0 is no duration; it must be above 0"]),
    (["stage=pppo"], ["stage=pppo: expected one of sft, reward_model, ppo; did you mean ppo?"]),
    (
        ["trainer.precision=16-mixed"],
        [
            "trainer.precision=16-mixed: expected one of 32-true, bf16-true, bf16-mixed; 16-mixed"
            " skips steps"
        ],
    ),
    (["study=2024"], ["study=2024: expected a name of letters", "tracking.experiment=2024"]),
    (["sweep=../up"], ["sweep=../up: expected a name of letters"]),
    (
        ["ppo.optimizer.betas=[2,a]"],
        ["ppo.optimizer.betas.0=2: expected a number >= 0 and < 1", "ppo.optimizer.betas.1=a"],
    ),
    (["ppo.value_lr=0"], ["ppo.value_lr=0: expected a number > 0 or null"]),
    (["lrr=1"], ["lrr=1: no such key; did you mean sft.optimizer.lr?"]),
    (["modle=hf"], ["modle=hf: no such key; did you mean model?"]),
    (["+lrr=1"], ["lrr=1: no such key; did you mean sft.optimizer.lr?"]),
    (["++kl.betta=1"], ["kl.betta=1: no such key; kl has coef, controller"]),
    (
        ["+sft.optimizer.zz=1"],
        ["sft.optimizer.zz=1: no such key; sft.optimizer (adamw) has lr, betas"],
    ),
    (["+kl.coef=1"], ["+kl.coef=1: kl.coef is there already; leave out the +"]),
    (["~kl.coef"], ["kl.coef: is missing"]),
    (["~kl"], ["kl: is missing"]),
    (["~kl.foo"], ["~kl.foo: no such key"]),
    (
        ["model=hf"],
        [
            "model.path=null: needs a value: write model.path=... (or sft.path=..., where an SFT"
            " policy is there)"
        ],
    ),
    (
        ["kl/controller=adaptve"],
        ["kl/controller=adaptve: no such option", "did you mean kl/controller=adaptive?"],
    ),
    (["kl=adaptive"], ["kl=adaptive: no such option", "did you mean kl/controller=adaptive?"]),
    (["trainer=dpp"], ["trainer=dpp: no such option", "did you mean trainer=ddp?"]),
    (["adapter=lora"], ["adapter=lora: adapter has keys and values; write model/adapter=lora"]),
    (
        ["adapter.r=8"],
        ["adapter.r=8: no such key; it is there with model/adapter=lora"],
    ),
    (
        ["model/adapter=lora", "model.dtype=bfloat16"],
        ["model.dtype=bfloat16: no such key; model=tiny has none, hf has"],
    ),
    (["trainer.precision=fp16"], ["bf16-true, bf16-mixed; fp16 skips steps when its loss scale"]),
    (["kl/controler=fixed"], ["kl/controler=fixed: no such group; did you mean kl/controller?"]),
    (
        ["kl.controller=adaptive"],
        ["kl.controller=adaptive: kl.controller is a group; write kl/controller=adaptive"],
    ),
    (
        ["optimizer=adam"],
        [
            "optimizer=adam: no such choice; here it is optimizer@ppo.optimizer,"
            " optimizer@reward_model.optimizer, optimizer@sft.optimizer=..."
        ],
    ),
    (
        ["ppo.optimizer=sgd"],
        [
            "ppo.optimizer=sgd: expected a piece with a _target_; optimizer@ppo.optimizer=<option>"
            " chooses one"
        ],
    ),
    (
        ["experiment=quickstrt"],
        ["experiment=quickstrt: no such option", "did you mean experiment=quickstart?"],
    ),
    (
        ["hydra/launcher=locl"],
        ["hydra/launcher=locl: no such option", "did you mean hydra/launcher=local?"],
    ),
    (["nope"], ["nope: cannot be read; write key=value"]),
    (["kl.coef=[1"], ["kl.coef=[1: cannot be read"]),
    (["kl.coef=0,1"], ["kl.coef=0,1: several values make a sweep; add -m"]),
    (["model.heads=3"], ["model.heads=3: does not divide model.hidden_size=64"]),
    (
        ["model.hidden_size=12", "model.heads=4"],
        ["model.heads=4: a llama head needs an even size; here it is 3"],
    ),
    (
        ["ppo.rollout_size=128", "ppo.minibatch_size=100"],
        ["ppo.minibatch_size=100: does not divide ppo.rollout_size=128; 64 does"],
    ),
    (
        ["ppo.rollout_size=64", "ppo.minibatch_size=128"],
        ["ppo.minibatch_size=128: does not divide ppo.rollout_size=64; 64 does"],
    ),
    (
        ["ppo.responses_per_prompt=6"],
        ["ppo.responses_per_prompt=6: does not divide ppo.rollout_size=128; 4 does"],
    ),
    (
        ["ppo.minibatch_size=64", "ppo.micro_batch_size=48"],
        ["ppo.micro_batch_size=48: does not divide ppo.minibatch_size=64; 32 does"],
    ),
    (
        ["ppo.iterations=5", "ppo.critic_warmup=5"],
        ["ppo.critic_warmup=5: leaves none of ppo.iterations=5 to train the policy"],
    ),
    (
        ["scorer.missing_eos=set"],
        ["scorer=reward_model: missing_eos=set needs a number: missing_eos_value"],
    ),
    (
        ["kl/controller=adaptive", "kl.coef=0"],
        ["kl.coef=0 with kl/controller=adaptive: it multiplies"],
    ),
    (
        ["kl/placement=loss"],
        ["kl/estimator=k1 with kl/placement=loss: the expected gradient of k1 is zero"],
    ),
    (
        ["generation.top_k=50"],
        [
            "generation.top_k=50 with kl/estimator=k1: the sampled tokens are not drawn from the"
            " policy"
        ],
    ),
    (
        ["kl/controller=pid", *(f"kl.controller.{gain}=0" for gain in ("kp", "ki", "kd"))],
        ["kl/controller=pid: kp, ki and kd must be finite, at least 0, and not all 0; got 0.0,"],
    ),
    (
        ["kl/controller=adaptive_alpaca_farm", "kl.controller.k_beta=5"],
        [
            "kl/controller=adaptive_alpaca_farm: k_beta must be below 5, got 5: one step could"
            " bring the coefficient to 0",
        ],
    ),
    (
        ["kl/controller=adaptive", "kl.controller.horizon=20", "ppo.rollout_size=100"],
        [
            "kl/controller=adaptive: episodes / horizon = 100 / 20 must be below 5, got 5: one step"
            " could bring the coefficient to 0 (episodes: ppo.rollout_size)",
        ],
    ),
    (
        ["kl/controller=pid", "kl.controller.min_coef=20"],
        ["kl.controller.min_coef=20.0: is above kl.controller.max_coef=10.0"],
    ),
    (
        ["data=jsonl", "data.demonstrations=x", "scorer=gold"],
        ["scorer=gold: the data has no gold reward", "data.preferences=null: pairs"],
    ),
    (
        ["tracking.experiment=''"],
        ["tracking.experiment='': an experiment of MLflow needs a name; it is the study's"],
    ),
    (
        ["tracking.experiment=" + "x" * 600],
        ["tracking.experiment=xxxxxxxxxxxxxxxxxxxx...: a name of 600 characters; MLflow takes at"],
    ),
    (
        ["tracking.uri=./mlruns"],
        ["tracking.uri=./mlruns: MLflow keeps runs in a database or a server"],
    ),
    (
        ["tracking.uri=my.db"],
        ["tracking.uri=my.db: MLflow keeps runs in a database or a server; write sqlite:///my.db"],
    ),
    (["scorer._target_=os._exit"], ["scorer._target_=os._exit: os._exit is not an allowed class"]),
    (
        ["kl.estimator._target_=rlhf.kl.estimator.K1Clampd"],
        ["is not an allowed class", "did you mean rlhf.kl.estimator.K1Clamped?"],
    ),
    (
        ["+callbacks.x._target_=builtins.getattr"],
        ["callbacks.x._target_=builtins.getattr: builtins.getattr is not an allowed class"],
    ),
    (["+data.x={_target_: os.system}"], ["data.x={"]),
    (
        ["+hydra.callbacks.x._target_=os._exit"],
        ["hydra.callbacks.x._target_=os._exit: os._exit is not an allowed class"],
    ),
    (["hydra.launcher._target_=os._exit"], ["hydra.launcher._target_=os._exit"]),
    (
        ["model=hf", "model.path=x", "model.trust_remote_code=${nowhere}"],
        ["Interpolation key 'nowhere' not found"],
    ),
]


@pytest.mark.parametrize(("lines", "parts"), WRONG, ids=lambda value: " ".join(value))
def test_refused(planned, lines, parts):
    found = planned(*lines)
    text = "\n".join(found.faults)
    for part in parts:
        assert part in text


def test_all_faults_in_one_message(planned):
    faults = planned(
        "kl.coef=abc",
        "modle=hf",
        "kl/reference=emma",
        "+lrr=1",
        "seed=-1",
        "nope",
        "ppo.minibatch_size=7",
    ).faults
    starts = [
        "nope",
        "kl/reference=emma",
        "modle=hf",
        "lrr=1",
        "seed=-1",
        "kl.coef=abc",
        "ppo.minibatch_size=7",
    ]
    assert sorted(fault.partition(":")[0] for fault in faults) == sorted(starts)


def test_a_wrong_option_does_not_make_its_keys_look_wrong(planned):
    faults = planned("kl/controller=adaptve", "kl.controller.target=4").faults
    assert len(faults) == 1
    assert "kl/controller=adaptive?" in faults[0]


def test_faults_of_all_jobs_once_with_the_jobs_that_have_them(planned):
    found = planned("kl.coef=0,0.1", "kl/controller=fixed,adaptive", "sft.epochs=0", multirun=True)
    assert len(found.jobs) == 4
    assert found.faults == [
        "sft.epochs=0: expected a whole number >= 1",
        (
            "kl.coef=0 with kl/controller=adaptive: it multiplies the coefficient, so 0 stays 0"
            " for ever; start above 0.  [1 of 4 jobs: kl.coef=0 kl/controller=adaptive]"
        ),
    ]


def test_wrong_values_within_a_sweep(planned):
    faults = planned("kl.coef=0,abc", "kl/controller=fixd,pid", multirun=True).faults
    assert faults[0].startswith("kl/controller=fixd: no such option")
    assert planned("kl.coef=0,abc", multirun=True).faults == [
        "kl.coef=abc: expected a number >= 0  [1 of 2 jobs: kl.coef=abc]"
    ]


def test_one_run(planned):
    found = planned("kl.coef=0.1", "seed=3")
    assert (found.sweep, found.faults, len(found.jobs)) == (False, [], 1)
    assert found.jobs[0].config.kl.coef == 0.1
    assert (
        found.jobs[0].config.paths.run_dir
        == f"outputs/default/{found.jobs[0].config.paths.run_name}"
    )


def test_grid(planned):
    found = planned("kl.coef=0,0.1", "seed=range(0,3)", multirun=True)
    assert [(job.config.kl.coef, job.config.seed) for job in found.jobs] == [
        (c, s) for c in (0, 0.1) for s in (0, 1, 2)
    ]
    assert found.name.startswith("default-")


def test_an_experiment_that_is_a_sweep_needs_no_flag(planned):
    found = planned("experiment=kl_coef_sweep")
    assert (found.sweep, found.name, len(found.jobs)) == (True, "kl_coef_sweep", 15)


def test_the_command_line_replaces_and_extends_an_experiments_grid(planned):
    found = planned("experiment=kl_coef_sweep", "kl.coef=0.3,0.4", "seed=7", "kl/reference=sft,ema")
    got = [
        (job.config.kl.coef, job.config.seed, job.config.kl.reference.class_path[-3:])
        for job in found.jobs
    ]
    assert got == [(0.3, 7, "SFT"), (0.3, 7, "EMA"), (0.4, 7, "SFT"), (0.4, 7, "EMA")]


def test_an_experiment_with_a_grid_is_no_value_of_another_sweep(planned):
    faults = planned("experiment=kl_coef_sweep,kl_controllers", multirun=True).faults
    assert any("is a sweep of its own" in fault for fault in faults)


def test_same_command_same_names(planned):
    first, second = planned("kl.coef=0,0.1", multirun=True), planned("kl.coef=0,0.1", multirun=True)
    assert first.name == second.name
    assert [job.config.paths.run_name for job in first.jobs] == [
        job.config.paths.run_name for job in second.jobs
    ]


KL = {
    group: sorted(path.stem for path in (conf_dir() / "kl" / group).glob("*.yaml"))
    for group in ("controller", "estimator", "placement", "reference")
}
ALGORITHMS = [
    ["ppo=default"],
    ["ppo=micro", "advantage=exact", "scorer=gold"],
    ["trust_region=penalty"],
    ["advantage=monte_carlo"],
    ["algorithm=rloo"],
]


def node(planned, group, option):
    """The plain values of an option, with a companion where it cannot stand alone."""
    k2 = ["kl/estimator=k2"]
    beside = {
        "exact": ["kl/placement=both"],
        "both": ["kl/estimator=exact"],
        "loss": k2,
        "loss_without_ratio": k2,
        "sequence_loss": k2,
    }
    (job,) = planned(f"kl/{group}={option}", *beside.get(option, [])).jobs
    return getattr(job.config.kl, group).model_dump(by_alias=True, mode="json")


def test_config_roundtrip_every_kl_group_works_with_every_algorithm_or_is_refused_with_a_sentence(
    planned,
):
    """Every estimator in every placement, every controller with every reference: a config that
    reads back as itself, or its reasons."""
    nodes = {
        group: [node(planned, group, option) for option in options] for group, options in KL.items()
    }
    pairs = [
        *(
            {"estimator": e, "placement": p}
            for e, p in product(nodes["estimator"], nodes["placement"])
        ),
        *(
            {"controller": c, "reference": r}
            for c, r in product(nodes["controller"], nodes["reference"])
        ),
    ]
    for algorithm in ALGORITHMS:
        plain, works = planned(*algorithm).jobs[0].config.plain(), set()
        for pieces in pairs:
            config = {**plain, "kl": {**plain["kl"], "coef": 0.1, **pieces}}
            try:
                found = validate(config)
            except ConfigError as error:
                assert all(
                    reason.startswith("kl/") and reason.endswith(".") for reason in error.faults
                )
            else:
                assert run_hash(found.plain()) == run_hash(config)
                works.add((found.kl.estimator.class_path, found.kl.placement.class_path))
        # k1, k2, k3, abs, k1_clamped in the reward; k2, k3, abs in each of three losses; exact in
        # both
        assert len(works) == 15


@pytest.mark.parametrize("preset", sorted(path.stem for path in (conf_dir() / "kl").glob("*.yaml")))
def test_config_roundtrip_of_every_kl_preset(planned, preset):
    (job,) = planned(f"kl={preset}").jobs
    assert run_hash(validate(job.config.plain()).plain()) == run_hash(job.config.plain())


@pytest.mark.parametrize("key", ["study", "sweep"])
def test_a_sweep_without_a_name_that_can_be_read_is_refused_with_a_sentence(planned, key):
    found = planned(f"{key}=${{nowhere}}", "seed=0,1", multirun=True)
    assert f"{key}: Interpolation key 'nowhere' not found" in "\n".join(found.faults)


def test_warnings_come_with_the_plan_and_say_of_which_jobs(planned):
    found = planned("kl.coef=0,0.1", "generation.temperature=1.0,0.7", multirun=True)
    (said,) = found.warnings
    assert (
        found.faults == []
        and said.startswith("generation.temperature=0.7")
        and "[2 of 4 jobs" in said
    )
    assert planned("kl.coef=0.1").warnings == []


def test_temperature_and_top_p_are_told_where_exact_allows_them(planned):
    found = planned("kl=exact", "generation.top_p=0.9", "generation.temperature=0.8")
    assert found.faults == [] and len(found.warnings) == 2
    assert planned("stage=sft", "generation.temperature=0.8").warnings == []
