"""The words that people bring from TRL, OpenRLHF, verl and AlpacaFarm."""

import pytest

from rlhf.config.hints.aliases import STAGES, TABLE, in_words, meanings
from rlhf.config.messages import leaves

WORDS = {
    "beta": ["kl.coef"],
    "kl_coef": ["kl.coef"],
    "init_kl_coef": ["kl.coef"],
    "target_kl": ["kl.controller.target with kl/controller=adaptive"],
    "lr": [f"{stage}.optimizer.lr" for stage in STAGES],
    "learning_rate": [f"{stage}.optimizer.lr" for stage in STAGES],
    "batch_size": [
        "sft.batch_size",
        "reward_model.batch_size",
        "ppo.rollout_size",
        "ppo.minibatch_size",
    ],
    "mini_batch_size": ["ppo.minibatch_size"],
    "num_epochs": ["sft.epochs", "reward_model.epochs", "ppo.iterations"],
    "num_train_epochs": ["sft.epochs", "reward_model.epochs"],
    "ppo_epochs": ["ppo.inner_epochs"],
    "gradient_accumulation_steps": [f"{stage}.micro_batch_size" for stage in STAGES],
    "load_in_4bit": ["model.dtype with model=hf"],
    "model_name_or_path": ["model.path with model=hf"],
    "cliprange": ["ppo.policy_clip"],
    "vf_coef": ["ppo.value_coef"],
    "gamma": ["advantage.gamma"],
    "lam": ["advantage.lam"],
    "temperature": ["generation.temperature"],
    "max_new_tokens": ["data.max_response_tokens"],
    "total_episodes": ["ppo.iterations"],
    "output_dir": ["paths.outputs"],
    "random_seed": ["seed"],
    "report_to": [f"tracking={name}" for name in ("mlflow", "wandb", "tensorboard", "trackio")],
    "wandb_entity": ["tracking.entity with tracking=wandb"],
}


@pytest.fixture(scope="module")
def exists(planned):
    (job,) = planned().jobs
    return {*leaves(job.config.plain()), "hydra.launcher.jobs"}.__contains__


@pytest.mark.parametrize(("word", "keys"), WORDS.items())
def test_what_a_word_means(exists, word, keys):
    assert meanings(word, exists) == keys


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("ppo.lr", ["ppo.optimizer.lr"]),
        ("ppo.epochs", ["ppo.inner_epochs"]),
        ("sft.learning-rate", ["sft.optimizer.lr"]),
        ("ppo.batch_size", ["ppo.rollout_size", "ppo.minibatch_size"]),
        ("kl.beta", ["kl.coef"]),
        ("algorithm.init_kl_coef", ["kl.coef"]),
        ("Learning_Rate", WORDS["lr"]),
        ("zebra", []),
    ],
)
def test_a_stage_narrows_it(exists, word, keys):
    assert meanings(word, exists) == keys


def test_in_words(exists):
    assert in_words("beta", exists) == "; here it is kl.coef"
    assert in_words("num_train_epochs", exists) == "; here it is sft.epochs or reward_model.epochs"
    assert in_words("zebra", exists) == ""


def test_every_target_is_there(planned, monkeypatch):
    """A target that the config does not have would send people to a second fault."""
    for target, _ in TABLE:
        for line in {target.replace("*", stage) for stage in STAGES} if "*" in target else {target}:
            choice, _, key = line.rpartition(" ")
            lines = [choice] if choice else []
            if "model=hf" in lines:
                lines.append("model.path=some/model")
            if "data=files" in lines:
                lines += ["data.demonstrations=a.jsonl", "data.preferences=b.jsonl"]
            if "scorer=function" in lines:
                monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests")
                lines.append("scorer.function=tests.rewards.test_function.length")
            if "=" in key:
                lines.append(key)
            elif "*" not in target and not key.startswith("hydra."):
                (job,) = planned(*lines).jobs
                assert key in leaves(job.config.plain()), target
                continue
            faults = planned(*lines).faults
            combination = "kl/placement" in key or "kl/estimator" in key
            assert combination or faults == [], (target, faults)


def test_each_stage_that_has_a_key_is_named(exists):
    for target, words in TABLE:
        assert meanings(words.split()[0], exists), target


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["beta=0.1"], "beta=0.1: no such key; here it is kl.coef"),
        (["+beta=0.1"], "beta=0.1: no such key; here it is kl.coef"),
        (["++kl.beta=0.1"], "kl.beta=0.1: no such key; here it is kl.coef"),
        (
            ["kl/coef=0.1"],
            (
                "kl/coef=0.1: kl/coef chooses a file of settings by its name; for a value write"
                " kl.coef=0.1"
            ),
        ),
        (
            ["kl.controller=adaptive"],
            "kl.controller=adaptive: kl.controller is a group; write kl/controller=adaptive",
        ),
        (
            ["kl.controller.target=3"],
            (
                "kl.controller.target=3: no such key; kl/controller=fixed has none, adaptive,"
                " adaptive_alpaca_farm, pid, dual have"
            ),
        ),
        (
            ["scorer=combined", "+scorer@scorer.parts.mood=vader", "scorer.weights.mood=2"],
            (
                "scorer.weights.mood=2: no such key; scorer.weights takes names of your own:"
                " +scorer.weights.mood=2"
            ),
        ),
        (
            ["scorer=combined", "scorer.parts.mood=vader"],
            "scorer.parts.mood=vader: no such key; +scorer@scorer.parts.mood=OPTION adds one",
        ),
        (
            ["data=files", "data.columns.prompt=question"],
            (
                "data.columns.prompt=question: no such key; data.columns is null: write"
                " 'data.columns={prompt: question}'"
            ),
        ),
        (["sft/epochs=3"], "sft/epochs=3: no such group; for a value write sft.epochs=3"),
    ],
)
def test_the_whole_sentence(planned, lines, fault):
    assert planned(*lines).faults == [fault]
