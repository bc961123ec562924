"""Whether a stage is made, by the manifests of artifacts."""

import os
from types import SimpleNamespace

import pytest

from rlhf.config.compose import compose, validate
from rlhf.config.stages import CODE_VERSION
from rlhf.rundir.files import write_json
from rlhf.runs.planned.stages import Contents, Shelf, Wanted, section_digest
from rlhf.stages.provenance import whole
from tests.conftest import SMALL

DATA = "d" * 64
PARTS = {"demonstrations": "1" * 64, "preferences": "2" * 64, "prompts": "3" * 64}


@pytest.fixture
def contents():
    """Of rows with these fingerprints."""
    splits = {name: SimpleNamespace(fingerprint=own) for name, own in PARTS.items()}
    return Contents(SimpleNamespace(fingerprint=DATA, **splits))


@pytest.fixture
def publish(cfg, tmp_path, monkeypatch):
    """publish(stage, section=settings, manifest=...) -> its folder, below outputs/artifacts"""
    monkeypatch.chdir(tmp_path)

    def make(stage, own="a" * 16, manifest=(), **sections):
        folder = tmp_path / cfg.paths.artifacts / stage / own
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(os.urandom(100))
        plain = cfg.plain()
        config = {**plain, **{name: {**plain[name], **own} for name, own in sections.items()}}
        content = {
            "kind": "artifact",
            "code": CODE_VERSION,
            "config": config,
            "fingerprints": {"data": DATA},
            "data": {name: {"rows": 9, "sha256": own} for name, own in PARTS.items()},
            **dict(manifest),
        }
        content = {key: value for key, value in content.items() if value is not None}
        write_json(folder / "manifest.json", whole.sealed(content, folder))
        return folder

    return make


def known(cfg, contents=None):
    return {state.name: state.known for state in Shelf().states(cfg, contents)}


def test_nothing_is_there(cfg, publish, contents):
    assert known(cfg, contents) == {"sft": "to train", "reward_model": "to train"}


def test_an_artifact_of_the_same_settings_and_rows_is_made(cfg, publish, contents):
    """Without the rows nobody knows: another file may lie at the same address."""
    folder = publish("sft")
    (state, other) = Shelf().states(cfg, contents)
    assert (state.name, state.known) == ("sft", "made")
    assert [path.resolve() for path in state.artifacts] == [folder]
    assert (other.name, other.known, other.artifacts) == ("reward_model", "to train", ())
    assert known(cfg)["sft"] == "perhaps made"


@pytest.mark.parametrize(
    ("changed", "is_known"),
    [
        ({"sft": {"epochs": 9}}, "to train"),
        ({"trainer": {"precision": "bf16-mixed"}}, "to train"),
        ({"ppo": {"iterations": 9}}, "made"),
        ({"kl": {"coef": 9.0}}, "made"),
        ({"data": {"pairs": 9}}, "perhaps made"),
        ({"manifest": {"code": CODE_VERSION - 1}}, "to train"),
        ({"manifest": {"data": {"demonstrations": {"rows": 9, "sha256": "9" * 64}}}}, "to train"),
        ({"manifest": {"fingerprints": {"data": "9" * 64}}}, "perhaps made"),
        ({"manifest": {"data": None}}, "perhaps made"),
    ],
)
def test_what_makes_it_another(cfg, publish, contents, changed, is_known):
    publish("sft", **changed)
    assert known(cfg, contents)["sft"] == is_known


def test_one_that_is_cut_short_or_in_the_making_is_none(cfg, publish, contents):
    folder = publish("sft")
    (folder / "model.safetensors").write_bytes(b"half")
    publish("sft", own="b" * 16 + ".work")
    assert known(cfg, contents)["sft"] == "to train"


def test_a_given_stage_is_not_looked_for(cfg, publish, contents):
    given = validate(compose([*SMALL, f"sft.path={publish('sft')}"]))
    assert known(given, contents)["sft"] == "given"


def test_an_ensemble_is_made_when_all_of_it_is(cfg, publish, contents):
    words = ["scorer=ensemble", "reward_model.seed=3"]
    several = validate(compose([*SMALL, *words]))
    count = int(several.plain()["scorer"]["members"])
    for further in range(count):
        assert known(several, contents)["reward_model"] == "to train"
        publish("reward_model", own=f"{further:016}", reward_model={"seed": 3 + further})
    (state,) = (s for s in Shelf().states(several, contents) if s.name == "reward_model")
    assert (state.known, len(state.artifacts)) == ("made", count)


def test_runs_share_a_stage_whose_key_is_one(cfg):
    plain = cfg.plain()

    def key(stage, **sections):
        changed = {**plain, **{name: {**plain[name], **own} for name, own in sections.items()}}
        return Wanted(cfg=cfg, plain=changed, stage=stage, contents=None).key

    assert key("sft") == key("sft", kl={"coef": 9.0}, reward_model={"epochs": 9})
    assert key("sft") != key("sft", sft={"epochs": 9})
    assert key("reward_model") != key("reward_model", sft={"epochs": 9}) != key("reward_model")
    assert key("sft") != key("reward_model")


@pytest.mark.parametrize(("age", "is_known"), [(-100, "made"), (100, "perhaps made")])
def test_a_folder_that_was_written_after_the_artifact_may_hold_another(
    publish, contents, tmp_path, age, is_known
):
    start = tmp_path / "start"
    start.mkdir()
    (start / "config.json").write_text("{}")
    given = validate(compose([*SMALL, f"sft.path={start}"]))
    folder = publish("reward_model", sft=given.plain()["sft"])
    moment = (folder / "manifest.json").stat().st_mtime + age
    os.utime(start / "config.json", (moment, moment))
    assert known(given, contents)["reward_model"] == is_known


def test_a_section_of_an_older_version():
    assert section_digest({}, "adapter") == section_digest({"adapter": {"kind": "none"}}, "adapter")
    both = {"max_new_tokens": 8, "stop": []}
    same = section_digest({"generation": {**both, "temperature": 0.7}}, "generation")
    assert same == section_digest({"generation": both}, "generation")
