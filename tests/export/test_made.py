import json

import pytest

from rlhf.export.made import NoModel, Taken, check_free, find


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))


def model_in(folder):
    write(folder, config={})
    (folder / "model.safetensors").touch()


def artifact(root, stage, own, **manifest):
    place = root / "artifacts" / stage / own
    model_in(place)
    write(place, manifest={"kind": "artifact", "stage": stage, "hash": own, **manifest})
    return place


@pytest.fixture
def run(tmp_path):
    """A PPO run whose config names its artifacts from the folder it was made in."""
    place = tmp_path / "outputs" / "study" / "kl0.1"
    prints = {"sft": "aa", "reward_model": "bb", "ppo": "cc"}
    config = {"paths": {"artifacts": "outputs/artifacts"}}
    write(
        place,
        manifest={"kind": "run", "stage": "ppo", "config": config, "fingerprints": {"sft": "aa"}},
        summary={"stage": "ppo", "fingerprints": prints, "reward/proxy": 1.0},
    )
    model_in(place / "policy")
    for stage, own in (("sft", "aa"), ("reward_model", "bb")):
        artifact(tmp_path / "outputs", stage, own, config=config, fingerprints={"sft": "aa"})
    return place


def test_a_run_holds_its_policy_and_finds_its_reward_model(run, tmp_path):
    made = find(run)
    assert made.holds == "policy" and made.folder("policy") == run / "policy"
    there = tmp_path / "outputs" / "artifacts" / "reward_model" / "bb"
    assert made.folder("reward_model").resolve() == there
    assert find(run / "policy").directory == run
    assert find(there).holds == "reward_model" and find(there).prints["sft"] == "aa"


def test_a_run_that_ends_with_an_artifact_is_that_artifact(run, tmp_path):
    place = tmp_path / "outputs" / "study" / "sft-seed0"
    write(
        place,
        manifest={"kind": "run", "stage": "sft"},
        summary={"artifact": "outputs/artifacts/sft/aa"},
    )
    assert find(place).is_artifact and find(place).stage == "sft"


@pytest.mark.parametrize(
    "stage, what, sentence",
    [
        ("sft", "reward_model", "is an SFT policy: it holds no reward model"),
        ("reward_model", "policy", "is a reward model: it holds no policy"),
    ],
)
def test_a_model_that_is_not_there_is_a_sentence(run, tmp_path, stage, what, sentence):
    own = {"sft": "aa", "reward_model": "bb"}[stage]
    with pytest.raises(NoModel, match=sentence):
        find(tmp_path / "outputs" / "artifacts" / stage / own).folder(what)


def test_an_unfinished_run_holds_no_policy_yet(run):
    (run / "policy" / "config.json").unlink()
    with pytest.raises(NoModel, match="holds no policy: the run is"):
        find(run).folder("policy")


def test_a_reward_model_that_is_gone_is_named(run, tmp_path):
    (tmp_path / "outputs" / "artifacts" / "reward_model" / "bb" / "model.safetensors").unlink()
    with pytest.raises(NoModel, match=r"reward model bb of .* is not on this disk"):
        find(run).folder("reward_model")


def test_the_members_of_an_ensemble(run, tmp_path):
    """The first is the run's reward model; None where one of the others is gone."""
    assert find(run).members == []
    manifest = json.loads((run / "manifest.json").read_text())
    write(run, manifest={**manifest, "ensemble": ["dd"]})
    assert find(run).members is None
    other = artifact(tmp_path / "outputs", "reward_model", "dd")
    assert [place.resolve() for place in find(run).members] == [other]


def test_what_is_no_run_is_refused_with_what_is_near(run, tmp_path):
    sweep = tmp_path / "sweeps" / "s"
    write(sweep, sweep={"jobs": []})
    write(sweep / "kl0.5", summary={})
    with pytest.raises(NoModel, match=r"is a sweep: name one of its points\n.*kl0.5"):
        find(sweep)
    with pytest.raises(NoModel, match=r"is no directory. Did you mean .*kl0\.1\?"):
        find(run.with_name("kl0.2"))
    model_in(tmp_path / "foreign")
    with pytest.raises(NoModel, match="a model without a manifest.json"):
        find(tmp_path / "foreign")


def test_nothing_is_written_over(tmp_path):
    check_free(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_free(tmp_path / "empty")
    (tmp_path / "empty" / "x").touch()
    with pytest.raises(Taken, match="not empty: name another place with --to"):
        check_free(tmp_path / "empty")
    with pytest.raises(Taken, match=r"x/new: .*x is a file: name another place"):
        check_free(tmp_path / "empty" / "x" / "new")
