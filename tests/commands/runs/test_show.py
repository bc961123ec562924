"""rlhf show: a run, a sweep and an artifact, and how each is named."""

import json

import pytest

from rlhf.commands.runs.show import main
from rlhf.config.compose import compose
from rlhf.config.composition.resolve import resolve
from rlhf.config.naming import run_hash
from tests.compare.made import make_path
from tests.inventory.made import PRINTS, stages, stand_on

SAMPLES = [
    {"iteration": 0, "prompt": "q1", "response": "before", "reward/gold": 0.25},
    {"iteration": 3, "prompt": "q1", "response": "after\x1b[2J", "reward/gold": 1.5},
    {"iteration": 3, "prompt": "q2", "response": "other"},
]


@pytest.fixture(scope="module")
def config():
    """A whole resolved config, composed once."""
    return resolve(compose(["kl.coef=0.1", "study=unit"]))[0]


@pytest.fixture
def place(rundirs, tmp_path, monkeypatch, config):
    monkeypatch.chdir(tmp_path)
    stages(tmp_path / "outputs" / "artifacts")
    run = rundirs.make_run(tmp_path / "outputs" / "unit" / "kl0.1-fixed", coef=0.1, config=config)
    rundirs.append(run / "samples.jsonl", *SAMPLES)
    (run / "policy").mkdir()
    (run / "policy" / "model.safetensors").write_bytes(b"w")
    stand_on(run, "sft", "reward_model", hash=run_hash(config))
    sweep = tmp_path / "sweeps" / "many"
    rundirs.make_run(sweep / "kl0.2-a", coef=0.2)
    rundirs.make_run(sweep / "kl0.3-b", state="failed")
    jobs = [{"name": n, "overrides": [f"kl.coef={n[2:5]}"]} for n in ("kl0.2-a", "kl0.3-b")]
    listed = {"name": "many", "study": "unit", "overrides": ["kl.coef=0.2,0.3"], "jobs": jobs}
    (sweep / "sweep.json").write_text(json.dumps(listed))
    return tmp_path


def told(capsys, word):
    assert main([word]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return " ".join(out.split()), out


def as_json(capsys, word):
    assert main([word, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_on_one_screen(place, capsys):
    words, out = told(capsys, "outputs/unit/kl0.1-fixed")
    assert words.startswith("kl0.1-fixed finished, ")
    assert "made by rlhf study=unit kl.coef=0.1" in words
    assert "gold 1.50 ± 0.20 1.00 ± 0.20" in words  # 1.96 standard errors of 0.1
    assert "KL 4.00 ± 0.20" in words
    assert "q1 policy after\\x1b[2J gold 1.5 SFT before gold 0.25" in words
    assert f"SFT {PRINTS['sft']}" in words and f"reward model {PRINTS['reward_model']}" in words
    assert "files log.txt" not in words and "config.yaml, policy, samples.jsonl" in words
    assert "rlhf sample outputs/unit/kl0.1-fixed" in words
    assert "\x1b" not in out  # what a model says steers no terminal
    assert len(out.splitlines()) < 50
    assert any(0x2800 < ord(c) < 0x2900 for c in out)


def test_a_run_as_json(place, capsys):
    value = as_json(capsys, "kl0.1-fixed")
    assert (value["is"], value["name"], value["state"]) == ("run", "kl0.1-fixed", "finished")
    assert value["command"] == "rlhf study=unit kl.coef=0.1"
    assert value["differs"] == {"study": "unit", "kl.coef": 0.1}
    curves = {curve["name"]: curve for curve in value["curves"]}
    assert curves["reward/gold"]["points"] == [[0, 1.0], [1, 1 + 1 / 6], [2, 1 + 1 / 3], [3, 1.5]]
    assert curves["kl/sequence_nats"]["held_out"] is True
    gold = next(row for row in value["evaluation"] if row["name"] == "reward/gold")
    assert gold["value"] == 1.5 and round(gold["half_95"], 4) == 0.196
    assert gold["sft_value"] == 1.0
    assert [sample["prompt"] for sample in value["samples"]] == ["q1", "q2"]
    assert value["samples"][0]["sft"]["response"] == "before"
    assert value["damage"] == []


def test_it_is_found_by_what_it_is_called(place, capsys, config):
    for word in ("kl0.1", run_hash(config), run_hash(config)[:5], "outputs/unit/kl0.1-fixed"):
        assert as_json(capsys, word)["name"] == "kl0.1-fixed"
    assert as_json(capsys, "outputs/unit/kl0.1-fixed/policy")["name"] == "kl0.1-fixed"
    assert as_json(capsys, PRINTS["sft"][:4])["is"] == "artifact"
    assert as_json(capsys, "many")["is"] == "sweep"


def test_what_is_not_there_is_refused(place, capsys):
    assert main(["kl0"]) == 2
    err = capsys.readouterr().err
    assert "kl0 may be 3 things" in err and "sweeps/many/kl0.2-a" in err
    assert main(["mny"]) == 2
    assert "did you mean many?" in capsys.readouterr().err
    assert main(["outputs/unit"]) == 2
    assert "it holds outputs/unit/kl0.1-fixed" in capsys.readouterr().err
    assert main(["outputs/unit/kl0.1-fixed/config.yaml"]) == 2
    assert "is a file" in capsys.readouterr().err
    assert main(["f" * 32, "--tracking-uri", "sqlite:///none.db"]) == 2
    assert "no MLflow store" in capsys.readouterr().err


def test_an_empty_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["x"]) == 2
    assert "nothing yet" in capsys.readouterr().err


def test_a_run_that_failed_says_why_and_how_to_go_on(place, capsys):
    words, _ = told(capsys, "sweeps/many/kl0.3-b")
    assert "error ValueError: the reward became nan" in words
    assert "log ends Traceback" in words
    assert "go on rlhf -m kl.coef=0.2,0.3 begins it" in words
    run = place / "sweeps" / "many" / "kl0.3-b"
    (run / "checkpoints").mkdir()
    for end in ("ckpt", "sha256"):
        (run / "checkpoints" / f"iteration-000002.{end}").write_text("x")
    assert "rlhf -m kl.coef=0.2,0.3 goes on from iteration 2" in told(capsys, "kl0.3")[0]


def test_a_damaged_run_names_its_damage(place, capsys):
    run = place / "outputs" / "unit" / "kl0.1-fixed"
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:2]))
    (run / "samples.jsonl").unlink()
    words, _ = told(capsys, "kl0.1")
    assert "damaged samples.jsonl is gone" in words
    assert "metrics.jsonl has 2 of 4 lines" in words
    for name in ("manifest.json", "summary.json", "status.json", "config.yaml"):
        (run / name).write_bytes(b"\xff{")
    words, _ = told(capsys, "outputs/unit/kl0.1-fixed")
    assert "damaged" in words and "manifest.json: it is no text" in words


def test_a_job_that_has_not_begun(place, capsys):
    listed = json.loads((place / "sweeps" / "many" / "sweep.json").read_text())
    listed["jobs"].append({"name": "kl0.4-c", "overrides": ["kl.coef=0.4"]})
    (place / "sweeps" / "many" / "sweep.json").write_text(json.dumps(listed))
    words, _ = told(capsys, "kl0.4-c")
    assert words.startswith("kl0.4-c not started")
    assert "job: kl.coef=0.4" in words


def test_a_sweep(place, capsys):
    (place / "sweeps" / "many" / "report.md").write_text("# many\n\n**kl.coef=0.2 is first.**\n")
    (place / "sweeps" / "many" / "report.html").touch()
    words, _ = told(capsys, "sweeps/many")
    assert "2 jobs: 1 finished, 1 failed" in words
    assert "made by rlhf -m kl.coef=0.2,0.3" in words
    assert "verdict kl.coef=0.2 is first." in words
    assert "kl0.2-a finished 3 +1.500 gold 4.00" in words
    assert "report.html" in words
    assert "runs what is missing: 1" in words
    value = as_json(capsys, "many")
    assert value["verdict"] == "kl.coef=0.2 is first."
    assert [run["name"] for run in value["runs"]] == ["kl0.2-a", "kl0.3-b"]
    (place / "sweeps" / "many" / "report.md").unlink()
    assert "not compared yet: rlhf compare sweeps/many" in told(capsys, "many")[0]


def test_an_artifact(place, capsys):
    words, _ = told(capsys, f"outputs/artifacts/reward_model/{PRINTS['reward_model']}")
    assert words.startswith(f"reward_model {PRINTS['reward_model']} finished")
    assert f"stands on sft {PRINTS['sft']} outputs/artifacts/sft/{PRINTS['sft']}" in words
    assert "used by outputs/unit/kl0.1-fixed" in words
    value = as_json(capsys, PRINTS["sft"])
    assert value["parents"] == [] and len(value["used_by"]) == 2


def test_a_run_of_mlflow(place, capsys, store, client):
    experiment = client.get_experiment_by_name("unit").experiment_id
    tags = {"rlhf.directory": str(place / "outputs" / "unit" / "kl0.1-fixed")}
    run = client.create_run(experiment, tags=tags)
    assert main([run.info.run_id, "--tracking-uri", store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "kl0.1-fixed"


def test_the_points_of_a_path(place, rundirs, capsys):
    path = place / "outputs" / "unit" / "path"
    make_path(rundirs, path, {0.5: (1.0, 1.0, 1.25), 0.1: (4.0, 2.0, 1.5)}, seconds=10.0)
    words, _ = told(capsys, "outputs/unit/path")
    (point,) = (path / "points").iterdir()
    first = f"points outputs/unit/path/points/{point.name} +1.250 gold, KL 1.00"
    assert f"{first} outputs/unit/path +1.500 gold, KL 4.00" in words
    assert as_json(capsys, str(point))["kl"]["value"] == 1.0
