"""What retrains what: fingerprints follow from what decides a stage's result, and from nothing
else."""

import pytest

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.stages.context import Workshop
from rlhf.stages.reward_model import reward_model_fingerprint
from rlhf.stages.sft import sft_fingerprint
from tests.conftest import SMALL


def fingerprints(tmp_path, *overrides):
    cfg = validate(compose([*SMALL, *overrides]))
    source = build(cfg.data)
    shop = Workshop(cfg=cfg, source=source, data=source.load(), run_directory=tmp_path)
    sft = sft_fingerprint(shop)
    return sft, reward_model_fingerprint(shop, sft)


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
    assert tuple(a != b for a, b in zip(base, changed, strict=True)) == CASES[override]


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
        source = build(cfg.data)
        return sft_fingerprint(
            Workshop(cfg=cfg, source=source, data=source.load(), run_directory=tmp_path)
        )

    first = at("good")
    assert first == at("good") != at("bad")
