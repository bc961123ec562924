"""What retrains what: fingerprints follow from what decides a stage's result, and from nothing
else."""

import pytest

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.config.stages import STAGES
from rlhf.data.records import Loaded
from rlhf.stages.context import StageContext
from rlhf.stages.table import RECIPES, fingerprints as stage_fingerprints
from tests.conftest import SMALL


def fingerprints(tmp_path, *overrides):
    """Of SFT, the reward model and PPO."""
    cfg = validate(compose([*SMALL, *overrides]))
    loaded = Loaded.of(build(cfg.data))
    context = StageContext(cfg=cfg, **loaded._asdict(), run_directory=tmp_path)
    return stage_fingerprints(context)


CASES = {  # override -> (SFT again?, reward model again?)
    "kl.coef=0.7": (False, False),
    "kl/controller=adaptive": (False, False),
    "seed=5": (False, False),
    "ppo.iterations=9": (False, False),
    "sft.checkpoint_every=2": (False, False),
    "study=other": (False, False),
    "reward_model.optimizer.lr=0.01": (False, True),
    "reward_model.seed=3": (False, True),
    "generation.max_new_tokens=5": (False, True),
    "sft.optimizer.lr=0.01": (True, True),
    "sft.seed=3": (True, True),
    "model.hidden_size=32": (True, True),
    "data.seed=1": (True, True),
    "trainer.threads=2": (True, True),
}


@pytest.mark.parametrize("override", CASES)
def test_stage_cache(tmp_path, override):
    base, changed = fingerprints(tmp_path), fingerprints(tmp_path, override)
    assert list(base) == list(changed) == ["sft", "reward_model", "ppo"]
    again = tuple(base[stage] != changed[stage] for stage in base)
    assert again == (*CASES[override], override not in ("sft.checkpoint_every=2", "study=other"))


@pytest.mark.parametrize(
    ("override", "another"),
    {
        "evaluation.prompts=9": True,
        "evaluation.win_rate=sft": True,
        "evaluation.win_rate=null": False,
        "scorer.reward_clip=1.0": True,
        "generation.temperature=0.9": True,
        "ppo.checkpoint_every=2": False,
        "evaluation.samples=1": False,
        "callbacks=default": False,
        "best_of_n=default": False,
        "tracking=mlflow": False,
        "paths.outputs=elsewhere": False,
    }.items(),
)
def test_the_fingerprint_of_a_runs_policy(tmp_path, override, another):
    """What decides PPO alone does not touch the stages before it."""
    base, changed = fingerprints(tmp_path), fingerprints(tmp_path, override)
    assert (base.pop("ppo") != changed.pop("ppo")) == another
    assert base == changed


def test_a_stage_that_nothing_asks_for_is_none_of_the_runs(tmp_path):
    assert list(fingerprints(tmp_path, "scorer=gold", "ppo.value_init=policy")) == ["sft", "ppo"]
    assert list(fingerprints(tmp_path, "stage=sft")) == ["sft"]
    own = fingerprints(tmp_path, "stage=reward_model", "scorer=gold")
    assert list(own) == ["sft", "reward_model"]


def test_a_changed_row_of_a_file_retrains(tmp_path):
    def at(text):
        (tmp_path / "d.jsonl").write_text(
            "".join(f'{{"prompt": "p{i}", "completion": " {text} {i}"}}\n' for i in range(40))
        )
        pairs = "".join(
            f'{{"prompt": "p{i}", "chosen": " yes {i}", "rejected": " no"}}\n' for i in range(40)
        )
        (tmp_path / "p.jsonl").write_text(pairs)
        own = [o for o in SMALL if not o.startswith("data.")]
        files = [f"data.demonstrations={tmp_path}/d.jsonl", f"data.preferences={tmp_path}/p.jsonl"]
        cfg = validate(compose([*own, "data=jsonl", *files, "data.vocabulary=300"]))
        loaded = Loaded.of(build(cfg.data))
        context = StageContext(cfg=cfg, **loaded._asdict(), run_directory=tmp_path)
        return stage_fingerprints(context)["sft"]

    first = at("good")
    assert first == at("good") != at("bad")


def test_the_rule_for_long_prompts_decides_a_reward_model_without_sft(tmp_path):
    """A pair whose prompt alone fills reward_model.max_length is left out or shortened by it."""
    pairs = "".join(
        f'{{"prompt": "p{i}", "chosen": " yes {i}", "rejected": " no"}}\n' for i in range(40)
    )
    (tmp_path / "p.jsonl").write_text(pairs)
    own = [o for o in SMALL if not o.startswith("data.")]

    def by(rule):
        lines = [f"data.preferences={tmp_path}/p.jsonl", f"data.on_long_prompt={rule}"]
        lines += ["data=files", "data.vocabulary=300", "sft=none", "stage=reward_model"]
        cfg = validate(compose([*own, *lines]))
        loaded = Loaded.of(build(cfg.data))
        return stage_fingerprints(StageContext(cfg=cfg, **loaded._asdict(), run_directory=tmp_path))

    dropped, shortened = by("drop"), by("truncate_left")
    assert dropped["sft"] == shortened["sft"]
    assert dropped["reward_model"] != shortened["reward_model"]


def test_every_stage_of_the_config_is_made():
    assert RECIPES.keys() == STAGES.keys()
