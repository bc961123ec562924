import subprocess
import sys

import pytest

from rlhf.config.compose import compose, validate
from rlhf.config.naming import run_hash
from rlhf.config.schema import Config
from rlhf.config.stages import ASIDE, ASIDE_KEYS, STAGES, decides, deciding_sections


def test_every_section_is_decided_upon():
    """A section of the config decides the result of a stage, or none; so that a new one cannot be
    forgotten."""
    read = {section for stage in STAGES.values() for section in stage.sections}
    assert not read & {*ASIDE}
    assert {"stage", *read, *ASIDE} == {*Config.model_fields, "hydra"}


def test_the_table_names_what_there_is():
    plain = validate(compose([])).plain()
    rows = ["data=files", "data.demonstrations=d.jsonl", "data.gold=vader"]
    other = validate(compose([*rows, "annotator=openai", "annotator.model=m"])).plain()
    for stage in STAGES.values():
        assert {*stage.parents} <= STAGES.keys()
        assert stage.name in stage.sections
        node = plain
        for part in stage.seed.split("."):
            node = node[part]
        assert isinstance(node, int)
    for key in ASIDE_KEYS:
        section, _, last = key.partition(".")
        assert last in plain[section] or last in other[section]


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("kl.coef", True),
        ("seed", True),
        ("ppo.checkpoint_every", False),
        ("evaluation.samples", False),
        ("data.license", False),
        ("evaluation.every", True),
        ("best_of_n.samples", False),
        ("tracking.uri", False),
        ("checkpoints.after_finish", False),
        ("study", False),
        ("time_limit", False),
        ("annotator.timeout", False),
        ("annotator.members.strict.timeout", False),
        ("annotator.members.strict.temperature", True),
    ],
)
def test_decides(key, answer):
    assert decides(key) is answer


def test_a_config_that_was_kept_before_there_were_checkpoints_is_valid():
    """And is the same run: it decides nothing."""
    whole = validate(compose([])).plain()
    kept = {key: value for key, value in whole.items() if key != "checkpoints"}
    assert validate(kept).plain() == whole
    assert run_hash(kept) == run_hash(whole)


def test_a_stage_is_decided_by_its_ancestors_too():
    assert deciding_sections("sft") == ["stage", "data", "model", "adapter", "trainer", "sft"]
    own = ["reward_model", "generation", "annotator", "labels"]
    assert deciding_sections("reward_model")[-4:] == own
    assert {"sft", "reward_model", "kl", "seed"} <= {*deciding_sections("ppo")}


def test_the_table_needs_no_torch():
    code = "import sys, rlhf.config.stages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
