import pytest
from omegaconf import OmegaConf

from rlhf.config.compose import compose, validate
from rlhf.config.naming import run_hash
from rlhf.reproduce.kept import kept_config, where_started
from rlhf.reproduce.target import read_original
from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_json


@pytest.fixture
def kept(tmp_path):
    """What a run with kl.coef=0.1 keeps."""
    plain = validate(compose(["kl.coef=0.1", "tracking=none"])).plain()
    directory = tmp_path / plain["paths"]["run_dir"]
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(plain)))
    write_json(
        directory / "manifest.json",
        {"kind": "run", "stage": "ppo", "hash": run_hash(plain), "config": plain},
    )
    return directory


def change(directory, name, key, value):
    if name == "config.yaml":
        config = OmegaConf.load(directory / name)
        OmegaConf.update(config, key, value)
        (directory / name).write_text(OmegaConf.to_yaml(config))
        return
    made = read_json(directory / name)
    section, _, last = key.rpartition(".")
    node = made["config"]
    for part in section.split(".") if section else ():
        node = node[part]
    node[last] = value
    write_json(directory / name, made)


def test_as_it_was_written(kept):
    found = kept_config(read_original(kept))
    assert found.config.kl.coef == 0.1 and not found.edits and not found.faults


@pytest.mark.parametrize("name", ["config.yaml", "manifest.json"])
def test_an_edited_copy_is_taken_and_told(kept, name):
    change(kept, name, "kl.coef", 0.5)
    change(kept, name, "ppo.grad_clip", None)
    found = kept_config(read_original(kept))
    assert found.config.kl.coef == 0.5 and found.config.ppo.grad_clip is None
    assert [(d.name, d.then, d.now) for d in found.edits] == [
        ("ppo.grad_clip", "1.0", "null"),
        ("kl.coef", "0.1", "0.5"),
    ]
    assert {d.note for d in found.edits} == {f"{name} was edited since the run"}


def test_what_does_not_decide_the_result_is_no_edit(kept):
    change(kept, "config.yaml", "study", "other")
    change(kept, "config.yaml", "ppo.checkpoint_every", 7)
    change(kept, "config.yaml", "seed", 0)
    assert not kept_config(read_original(kept)).edits


def test_both_copies_edited(kept):
    for name in ("config.yaml", "manifest.json"):
        change(kept, name, "kl.coef", 0.5)
    found = kept_config(read_original(kept))
    (edit,) = found.edits
    assert (
        found.config.kl.coef == 0.5
        and edit.name == "config_hash"
        and edit.then != edit.now
        and "both" not in edit.note
    )
    assert (
        edit.note == "config.yaml and manifest.json edited since the run; what it was is not kept"
    )


def test_every_fault_of_a_config_that_is_no_longer_valid(kept):
    change(kept, "config.yaml", "kl.coef", "much")
    OmegaConf.save(
        OmegaConf.merge(OmegaConf.load(kept / "config.yaml"), {"ppo": {"iteratons": 3}}),
        kept / "config.yaml",
    )
    found = kept_config(read_original(kept))
    assert found.config is None and len(found.faults) == 2


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: [", "while parsing"),
        (b"", "holds no whole config"),
        (b"stage: sft\n", "holds no whole config"),
        (b"\xff\x00", "can't decode"),
        (b"[" * 9999, "recursion"),
    ],
)
def test_a_config_that_cannot_be_read_has_a_copy(kept, caplog, content, why):
    (kept / "config.yaml").write_bytes(content)
    copy = kept_config(read_original(kept))
    assert copy.config.kl.coef == 0.1 and not copy.edits and copy.readable
    assert f"{kept / 'config.yaml'}: " in caplog.text and why in caplog.text
    (kept / "manifest.json").write_text("{}")
    copy = kept_config(read_original(kept))
    assert why in copy.faults[0] and str(kept / "config.yaml") in copy.faults[0]
    assert not copy.readable


def test_where_it_was_started(kept, tmp_path):
    original = read_original(kept)
    cfg = kept_config(original).config
    assert where_started(original, cfg) == tmp_path.resolve()
    kept.rename(tmp_path / "elsewhere")
    assert where_started(read_original(tmp_path / "elsewhere"), cfg) is None


def test_a_secret_of_the_environment_is_asked_for_again(kept, monkeypatch):
    monkeypatch.setenv("MINE", "https://me:s3cret-word@h/model")
    plain = validate(compose(["model=hf", "model.path='${oc.env:MINE}'", "tracking=none"])).plain()
    text = OmegaConf.to_yaml(OmegaConf.create(plain))
    assert "s3cret" not in text and "${oc.env:MINE}" in text
    (kept / "config.yaml").write_text(text)
    manifest = read_json(kept / "manifest.json")
    write_json(kept / "manifest.json", {**manifest, "hash": run_hash(plain), "config": plain})
    found = kept_config(read_original(kept))
    assert found.faults == [] and found.edits == []
    assert found.config.model.path == "${oc.env:MINE}"
    monkeypatch.delenv("MINE")
    (fault,) = kept_config(read_original(kept)).faults
    assert fault.startswith("model.path: ") and "'MINE' not found" in fault


def test_a_secret_that_was_not_written_down_is_asked_for(kept):
    change(kept, "config.yaml", "paths.outputs", "https://***@h/outputs")
    assert kept_config(read_original(kept)).faults == [
        "paths.outputs: was given as text and is not written down: put ${oc.env:NAME} there, and"
        " NAME=... in the environment"
    ]


def test_a_kept_config_builds_nothing(kept, tmp_path):
    """Of a folder from elsewhere: no class that is not allowed, no code that comes with a model."""
    mark = tmp_path / "executed"
    call = f"{{_target_: pathlib.Path.touch, self: {{_target_: pathlib.Path, _args_: [{mark}]}}}}"
    change(kept, "config.yaml", "callbacks", {"x": f"${{oc.create:{call}}}"})
    (fault, _) = kept_config(read_original(kept)).faults
    assert "pathlib.Path.touch is not an allowed class" in fault
    assert not mark.exists()


def test_a_models_own_code_is_asked_for(kept, monkeypatch):
    remote = compose(["model=hf", "model.path=x", "model.trust_remote_code=true"])
    written = OmegaConf.load(kept / "config.yaml")
    written.model = remote.model
    (kept / "config.yaml").write_text(OmegaConf.to_yaml(written))
    assert kept_config(read_original(kept)).faults == [
        "model.trust_remote_code=true: the model's own code would run:"
        " --allow-targets=transformers_modules"
    ]
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "transformers_modules")
    assert kept_config(read_original(kept)).faults == []


def test_a_manifest_without_a_whole_config_is_no_copy(kept, caplog):
    made = read_json(kept / "manifest.json")
    write_json(kept / "manifest.json", {**made, "config": {"seed": 3}})
    copy = kept_config(read_original(kept))
    assert copy.config.kl.coef == 0.1 and not copy.edits and not copy.faults
    assert f"{kept / 'manifest.json'}: its config is no whole one: it is not taken" in caplog.text
