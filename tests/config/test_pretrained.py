"""model=hf brings the settings of a pretrained model; whatever a user chooses wins over them."""

import pytest

HF = ("model=hf", "model.path=some/model")
OWN_FILE = ("data=jsonl", "data.demonstrations=demos.jsonl", "data.preferences=pairs.jsonl")


def settings(planned, *lines, multirun=False):
    plan = planned(*lines, multirun=multirun)
    assert plan.faults == []
    return [
        (
            job.config.sft.optimizer.lr,
            job.config.reward_model.optimizer.lr,
            job.config.ppo.optimizer.lr,
            job.config.generation.max_new_tokens,
        )
        for job in plan.jobs
    ]


PRETRAINED = (2e-5, 1e-5, 1e-6)


def test_model_hf_brings_its_own(planned):
    (job,) = planned(*HF, *OWN_FILE).jobs
    cfg = job.config
    rates = tuple(s.optimizer.lr for s in (cfg.sft, cfg.reward_model, cfg.ppo))
    assert rates == PRETRAINED
    assert (cfg.sft.epochs, cfg.sft.batch_size, cfg.sft.max_length) == (2, 8, 512)
    assert (cfg.reward_model.epochs, cfg.reward_model.max_length) == (1, 512)
    assert (cfg.ppo.rollout_size, cfg.ppo.minibatch_size, cfg.ppo.micro_batch_size) == (64, 32, 4)
    assert (cfg.ppo.lr_warmup, cfg.ppo.value_lr) == (0.1, 9e-6)
    assert (cfg.evaluation.every, cfg.evaluation.prompts) == (10, 64)
    assert cfg.best_of_n.samples == 0
    assert cfg.generation.max_new_tokens == 128


def test_a_model_from_scratch_is_as_it_was(planned):
    assert settings(planned) == [(3e-3, 1e-3, 5e-4, 20)]
    assert settings(planned, *OWN_FILE) == [(3e-3, 1e-3, 5e-4, 32)]


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("sft=default", (3e-3, 1e-5, 1e-6, 128)),
        ("sft.optimizer.lr=5e-6", (5e-6, 1e-5, 1e-6, 128)),
        ("ppo=micro", (2e-5, 1e-5, 5e-4, 128)),
        ("data.max_response_tokens=64", (*PRETRAINED, 64)),
        ("generation.max_new_tokens=65", (*PRETRAINED, 65)),
        ("generation=sample", (*PRETRAINED, 32)),
    ],
)
def test_a_choice_or_a_value_of_ones_own_wins(planned, line, changed):
    assert settings(planned, *HF, *OWN_FILE, line) == [changed]
    assert settings(planned, line, *OWN_FILE, *HF) == [changed]  # in whatever order


def test_an_experiment_wins(planned):
    assert settings(planned, "experiment=alpaca_farm_ppo", *HF) == [(2e-5, 1e-5, 3e-6, 20)]
    assert settings(planned, "experiment=ziegler", *HF) == [(2e-5, 1e-5, 1e-5, 20)]
    (job,) = planned("experiment=ziegler", *HF).jobs
    assert job.config.ppo.value_lr is None  # theirs is one rate


def test_data_that_know_their_length_keep_it(planned):
    assert settings(planned, *HF, "data=rt_polarity") == [(*PRETRAINED, 24)]


def test_it_can_be_swept(planned):
    jobs = settings(planned, *HF, "sft=default,pretrained", "seed=0,1", multirun=True)
    assert [job[0] for job in jobs] == [3e-3, 3e-3, 2e-5, 2e-5]


def test_an_optimizer_of_another_kind_keeps_the_rate(planned):
    for option in ("adam", "sgd"):
        assert settings(planned, *HF, f"optimizer@sft.optimizer={option}")[0][0] == 2e-5


def test_a_rate_that_wrecks_a_pretrained_model_is_warned_of(planned):
    """3e-3 for an epoch took SmolLM2-135M from a perplexity of 19.1 to 49.8."""
    (warning,) = planned(*HF, "sft=default", "stage=sft").warnings
    assert warning.startswith("sft.optimizer.lr=0.003: a pretrained model loses")
    warnings = planned("experiment=rt_polarity_kl_sweep", *HF).warnings
    assert [w.split(":")[0] for w in warnings] == [
        "sft.optimizer.lr=0.004",
        "reward_model.optimizer.lr=0.0005",
    ]
    assert planned("experiment=rt_polarity_kl_sweep").warnings == []
    assert planned(*HF).warnings == []
    head = ("reward_model.trained=head", "reward_model.optimizer.lr=0.001")
    assert planned(*HF, *head).warnings == []
    assert planned(*HF, "sft=none", "sft.optimizer.lr=0.003").warnings == []  # nothing is trained
    alone = (*HF, "stage=reward_model", "reward_model.optimizer.lr=1e-3")
    assert len(planned(*alone).warnings) == 1
    assert planned(*alone, "reward_model.trained=head").warnings == []
    assert planned(*HF, "sft=default", "optimizer@sft.optimizer=sgd").warnings == []
