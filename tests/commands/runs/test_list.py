"""rlhf list: its tables, its JSON, its refusals."""

import json
import os
import subprocess
import sys

import pytest

from rlhf.commands.runs.list import main
from tests.inventory.made import artifact, stages, stand_on


@pytest.fixture
def place(rundirs, tmp_path, monkeypatch):
    """A sweep with a finished, a failed and a cut job, and one that never began; a single run of
    another study, by its proxy alone; three artifacts, the policy's weights under two names."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "outputs" / "artifacts"
    stages(root)
    sweep = tmp_path / "sweeps" / "s"
    best = rundirs.make_run(sweep / "kl0.1", gold=1.5, kl=4.0)
    policy = artifact(root, "ppo", "a" * 16, parents=("sft", "reward_model"))
    (best / "policy").mkdir()
    os.link(policy / "model.safetensors", best / "policy" / "model.safetensors")
    stand_on(best, "sft", "reward_model", own="a" * 16)
    stand_on(rundirs.make_run(sweep / "kl0.2", gold=1.25, kl=2.0), "sft")
    rundirs.make_run(sweep / "kl0.3", state="failed")
    cut = rundirs.make_run(sweep / "kl0.4", state="running")
    (cut / "checkpoints").mkdir()
    for end in ("ckpt", "sha256"):
        (cut / "checkpoints" / f"iteration-000002.{end}").write_text("x")
    jobs = [{"name": f"kl0.{n}", "overrides": []} for n in (1, 2, 3, 4, 5)]
    listed = {"name": "s", "study": "unit", "overrides": [], "jobs": jobs}
    (sweep / "sweep.json").write_text(json.dumps(listed))
    single = rundirs.make_run(tmp_path / "outputs" / "other" / "one", gold=None, proxy=2.0, kl=9.0)
    manifest = json.loads((single / "manifest.json").read_text())
    (single / "manifest.json").write_text(json.dumps({**manifest, "study": "other"}))
    return tmp_path


def shown(capsys, *words, code=0):
    assert main(list(words)) == code
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def names(lines):
    return [line.split()[0] for line in lines[1 : lines.index("")]]


def test_everything_at_a_glance(place, capsys):
    lines = shown(capsys)
    (sweep,) = [line for line in lines if line.startswith("s ")]
    assert "2 finished" in sweep and "1 failed" in sweep and "1 cut" in sweep
    assert "+1.500 gold 4.00" in sweep  # its best
    assert any(line.startswith("one unit finished 3 +2.000 proxy 9.00") for line in lines)
    assert any(line.startswith("reward_model 1 ") for line in lines)
    (total,) = [line for line in lines if "on disk" in line]
    assert total.startswith("1 sweep with 5 runs, 1 single run, 3 artifacts: ")
    assert total.endswith("a file with several names counted once")


def test_runs_in_order(place, capsys):
    assert names(shown(capsys, "runs", "--sort", "name")) == [
        *("kl0.1", "kl0.2", "kl0.3", "kl0.4", "kl0.5", "one")
    ]
    by_kl = names(shown(capsys, "runs", "--sort", "kl"))
    assert by_kl[0] == "kl0.2" and by_kl[-2:] == ["one", "kl0.5"]  # who has none comes last
    assert names(shown(capsys, "runs", "--sort", "reward"))[0] == "one"
    assert names(shown(capsys, "runs", "--sort", "disk"))[0] == "kl0.1"  # it has weights
    assert names(shown(capsys, "runs", "--sort", "disk", "--reverse"))[0] == "kl0.5"


def test_runs_that_are_chosen(place, capsys):
    assert names(shown(capsys, "runs", "--state", "failed")) == ["kl0.3"]
    assert names(shown(capsys, "runs", "--state", "resumable")) == ["kl0.4"]
    assert names(shown(capsys, "runs", "--study", "other")) == ["one"]
    lines = shown(capsys, "runs", "--state", "running")
    assert lines[0] == "No run in outputs/ and sweeps/ is running."
    assert "2 finished" in lines[1] or "3 finished" in lines[1]
    assert shown(capsys, "--study", "none")[0].endswith("is of the study none.")


def test_the_jobs_of_a_sweep(place, capsys):
    lines = shown(capsys, "sweeps/s", "--sort", "name")
    assert names(lines) == ["kl0.1", "kl0.2", "kl0.3", "kl0.4", "kl0.5"]
    assert lines[1].startswith("kl0.1 s finished 3 +1.500 gold 4.00")
    assert lines[-1].startswith("5 runs: ")


def test_artifacts_and_who_needs_them(place, capsys):
    lines = shown(capsys, "artifacts", "--sort", "name")
    rows = {line.split()[0]: line for line in lines[1 : lines.index("")]}
    assert " 2 runs, 2 artifacts " in rows["sft"]
    assert " sft 5f700000 1 run, 1 artifact " in rows["reward_model"]
    assert shown(capsys, "artifacts", "outputs/artifacts/ppo")[1].startswith("ppo aaaaaaaa")


def test_artifacts_of_a_folder_are_used_from_elsewhere(place, capsys):
    (line,) = [x for x in shown(capsys, "outputs") if x.startswith("reward_model")]
    assert line.startswith("reward_model 1 ") and "nobody" not in line
    lines = shown(capsys, "artifacts", "outputs/artifacts", "--study", "unit")
    assert set(names(lines)) == {"sft", "reward_model", "ppo"}
    assert len(shown(capsys, "artifacts", "outputs", "--study", "other")) == 2


def test_what_is_damaged_says_so(place, capsys):
    (place / "sweeps" / "s" / "kl0.2" / "timings.jsonl").unlink()
    (place / "sweeps" / "s" / "kl0.1" / "summary.json").write_text("{")
    assert set(names(shown(capsys, "runs", "--state", "damaged"))) == {"kl0.1", "kl0.2"}
    (place / "outputs" / "artifacts" / "sft" / "junk").mkdir()
    lines = shown(capsys, "artifacts", "--state", "damaged")
    assert lines[1].startswith("sft junk damaged nobody")
    assert capsys.readouterr().err == ""


def test_json_has_raw_numbers(place, capsys):
    assert main(["runs", "sweeps/s", "--sort", "name", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value.keys() == {"runs", "bytes"}
    first, last = value["runs"][0], value["runs"][-1]
    assert first["reward"] == {"name": "gold", "value": 1.5, "se": 0.1}
    assert first["kl"] == {"value": 4.0, "se": 0.1}
    assert (first["state"], first["resumable"]) == ("finished", False)
    assert first["changed"] == "2023-11-14T22:14:59Z"  # 1,700,000,099 seconds
    assert first["artifact"] == {"stage": "ppo", "fingerprint": "a" * 16}
    assert value["runs"][3]["resumable"] is True
    assert (last["state"], last["bytes"], last["changed"], last["kl"]) == (
        *("not started", 0, None),
        None,
    )


def test_json_of_everything(place, capsys):
    assert main(["--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value.keys() == {"sweeps", "runs", "artifacts", "bytes"}
    (sweep,) = value["sweeps"]
    assert sweep["best"] == "kl0.1" and len(sweep["jobs"]) == 5
    assert sweep["states"]["finished"] == 2
    assert {a["stage"]: a["kind"] for a in value["artifacts"]}["ppo"] == "artifact"
    each = sum(entry["bytes"] for entry in (*value["sweeps"], *value["artifacts"]))
    each += next(run["bytes"] for run in value["runs"] if run["name"] == "one")
    weights = (place / "sweeps/s/kl0.1/policy/model.safetensors").stat().st_blocks * 512
    assert each - value["bytes"] == weights


def test_nan_is_null(place, rundirs, capsys):
    rundirs.make_run(place / "outputs" / "other" / "nan", gold="nan", kl=1.0)
    assert main(["outputs/other", "runs", "--json"]) == 0
    runs = {run["name"]: run for run in json.loads(capsys.readouterr().out)["runs"]}
    assert runs["nan"]["reward"]["value"] is None
    assert "+nan gold" in " ".join(shown(capsys, "outputs/other", "runs"))


def test_an_empty_place_says_what_to_type(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = shown(capsys)
    assert lines[0].startswith("Nothing is in outputs/ and sweeps/ yet")
    assert "rlhf experiment=quickstart" in lines[1]
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == []


def test_wrong_arguments_are_refused(place, capsys):
    assert main(["sweeps/z"]) == 2
    assert "sweeps/z is no folder" in capsys.readouterr().err
    assert main(["swps"]) == 2
    assert "did you mean sweeps?" in capsys.readouterr().err
    assert main(["artifacts", "--state", "running"]) == 2
    (place / "file").touch()
    assert main(["file"]) == 2


def test_a_narrow_terminal_shows_the_beginning_of_names(place):
    from rlhf.commands.parts.listed.rows import RUNS
    from rlhf.commands.parts.listed.tables import table

    row = {column.name: "12345678" for column in RUNS} | {"run": "begin" + "a" * 60}
    for width in (80, 60):
        columns = table(RUNS, [row], width).columns
        size = sum(max(len(str(c.header)), *map(len, map(str, c.cells))) + 2 for c in columns) - 2
        assert size <= width
        assert str(next(iter(columns[0].cells))).startswith("begin")
    assert "sweep" in [c.header for c in table(RUNS, [row], 200).columns]
    assert "sweep" not in [c.header for c in table(RUNS, [row], 60).columns]


def test_nothing_heavy_is_imported(place):
    source = (
        "import sys; from rlhf.commands.runs.list import main; main([]);"
        " print({'torch', 'mlflow', 'pandas', 'transformers', 'hydra'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "set()"
