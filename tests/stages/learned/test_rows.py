"""The parts of the data that an algorithm learns from beside prompts: those of a user's own class
reach its module, decide the run, and are asked for before anything runs."""

import sys
from dataclasses import replace

import pytest
import torch

from rlhf.config.build import build
from rlhf.config.compose import ConfigError, compose, validate
from rlhf.config.properties import learns_from, parts_of
from rlhf.data.records import Loaded
from rlhf.rundir.files import read_jsonl
from rlhf.stages.context import StageContext
from rlhf.stages.learned.rows import demonstrations_of, fingerprint_parts, pairs_of
from rlhf.stages.report import data_report
from rlhf.stages.table import RECIPES
from tests.conftest import SMALL

MODULE = """
from rlhf.modules.algorithms.ppo import PPOModule


class Reads(PPOModule):
    learns_from = ("preferences", "demonstrations")

    def finish_iteration(self):
        shown = self.parts.demonstrations.collate(self.parts.demonstrations.train[:3])
        pair = self.parts.pairs.collate(self.parts.pairs.train[:2])
        counts = {"mine/shown": shown.counted, "mine/pairs": pair.counted}
        return super().finish_iteration() | counts


class Misreads(PPOModule):
    learns_from = ("demonstration",)
"""
READS = ["algorithm=reads"]


@pytest.fixture
def conf(tmp_path, monkeypatch):
    (tmp_path / "reads_rows.py").write_text(MODULE)
    folder = tmp_path / "conf" / "algorithm"
    folder.mkdir(parents=True)
    for name in ("Reads", "Misreads"):
        (folder / f"{name.lower()}.yaml").write_text(f"_target_: reads_rows.{name}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "reads_rows")
    yield tmp_path / "conf"
    sys.modules.pop("reads_rows", None)


@pytest.fixture
def context(conf, tmp_path):
    """context(*overrides) -> that of a small run"""

    def go(*overrides):
        cfg = validate(compose([*SMALL, *overrides], config_dir=conf))
        loaded = Loaded.of(build(cfg.data))
        return StageContext(cfg=cfg, **loaded._asdict(), run_directory=tmp_path)

    return go


def test_which_parts_a_stage_learns_from(context):
    ppo, reads = context().cfg, context(*READS).cfg
    assert learns_from(ppo.algorithm) == ()
    assert [parts_of(ppo, stage) for stage in ("sft", "reward_model", "ppo")] == [
        ("demonstrations",),
        ("preferences", "prompts"),
        ("prompts",),
    ]
    assert parts_of(reads, "ppo") == ("prompts", "preferences", "demonstrations")
    assert parts_of(reads, "reward_model") == ("preferences", "prompts")


def test_an_algorithm_that_learns_from_prompts_alone_has_the_fingerprint_of_before(context):
    given = context()
    assert fingerprint_parts(given) == {}
    assert "learns_from" not in RECIPES["ppo"].parts(given)
    assert pairs_of(given, given.run_directory) is demonstrations_of(given) is None


def test_what_decides_the_rows(context):
    """Their content and how they are cut; neither the reward model's training nor SFT's."""
    base = context(*READS)
    parts = RECIPES["ppo"].parts(base)["learns_from"]
    assert list(parts) == ["preferences", "demonstrations"]
    assert parts["preferences"]["rows"] == base.data.preferences.fingerprint

    def changed(*overrides):
        return fingerprint_parts(context(*READS, *overrides)) != {"learns_from": parts}

    assert changed("data.pairs=40") and changed("reward_model.max_length=9")
    assert changed("sft.max_rows=5") and changed("reward_model.on_long=drop")
    assert not changed("reward_model.epochs=9", "reward_model.seed=3", "sft.batch_size=4")
    assert changed("sft.max_rows=5", "sft.seed=3") and not changed("sft.seed=3")
    other = replace(base.data.demonstrations, train=base.data.demonstrations.train[1:])
    cut = replace(base, data=replace(base.data, demonstrations=other))
    assert fingerprint_parts(cut) != {"learns_from": parts}


def test_pairs_that_are_sampled_are_decided_by_what_they_are_sampled_from(context):
    def parts(*overrides):
        given = context(*READS, *overrides)
        return fingerprint_parts(replace(given, data=replace(given.data, preferences=None)))

    base = parts()
    assert base["learns_from"]["preferences"]["sampled"]["max_new_tokens"] == 8
    assert parts("reward_model.seed=3") != base
    assert parts("generation.max_new_tokens=5") != base
    assert parts("data.label_temperature=2.0") != base


def test_the_rows_are_those_of_their_stages(context):
    """Cut as the reward model's and SFT's, with their collation."""
    given = context(*READS, "reward_model.max_length=7", "sft.train_on_prompt=true")
    pairs, shown = pairs_of(given, given.run_directory), demonstrations_of(given)
    assert pairs.train is given.rows["reward_model"].train
    assert shown.train is given.rows["sft"].train
    assert max(len(side.ids) for row in pairs.train for side in (row.chosen, row.rejected)) == 7
    batch = pairs.collate(pairs.train[:3])
    assert batch.tokens.shape == (3, 2, 7) and batch.counted == 3 and batch.ref_logp is None
    first = pairs.train[0]
    assert batch.answers[0, 1].nonzero().flatten().tolist() == [*range(*first.rejected.answers[-1])]
    assert pairs.tokens(first) == len(first.chosen.ids) + len(first.rejected.ids)
    learned = shown.collate(shown.train[:2])
    assert torch.equal(learned.loss_mask, learned.attention)


def test_the_report_holds_the_rows_to_their_limits(context):
    def limits(*overrides):
        report = data_report(context(*overrides))
        return [(each.stage, each.part, each.bound) for each in report.limits]

    assert limits("stage=sft") == [("sft", "demonstrations", "sft.max_length=64")]
    gold = ["scorer=gold", "ppo.value_init=policy"]
    assert [(stage, part) for stage, part, _ in limits(*gold)] == [
        ("sft", "demonstrations"),
        ("ppo", "prompts"),
    ]
    assert limits(*gold, *READS)[2:] == [
        ("ppo", "preferences", "reward_model.max_length=64"),
        ("ppo", "demonstrations", "sft.max_length=64"),
    ]


def test_a_part_that_is_missing_is_refused_before_anything_runs(conf):
    def faults(*overrides):
        with pytest.raises(ConfigError) as error:
            validate(compose(["data=jsonl", "sft.path=p", *overrides], config_dir=conf))
        return str(error.value)

    lines = ["algorithm=reads", "reward_model.path=r", "data.preferences=pairs.jsonl"]
    assert faults(*lines) == (
        "data.demonstrations=null: algorithm=reads learns from demonstrations; name a file, or take"
        " algorithm=ppo"
    )
    lines = [*lines[:2], "data.demonstrations=rows.jsonl"]
    assert faults(*lines) == (
        "data.preferences=null: algorithm=reads learns from preferences; name a file, or set"
        " data.gold=vader, which labels pairs of the SFT policy's responses, or take algorithm=ppo"
    )
    assert validate(
        compose(["data=jsonl", "sft.path=p", *lines, "data.gold=vader"], config_dir=conf)
    )
    assert "learns_from names 'demonstration'; expected some of demonstrations, pref" in faults(
        "algorithm=misreads", "data.prompts=p.jsonl", "reward_model.path=r"
    )


def test_they_reach_the_module_of_a_run(conf, artifacts, tmp_path):
    from rlhf.runs.run import run

    lines = [*SMALL, f"paths.artifacts={artifacts}", *READS, "ppo.iterations=1"]
    run(validate(compose(lines, config_dir=conf)), directory=tmp_path / "run")
    last = read_jsonl(tmp_path / "run" / "metrics.jsonl")[-1]
    assert last["mine/pairs"] == 2 and last["mine/shown"] > 3
