"""Each file of a run, damaged in each way: the file is named in a sentence, the rest goes on."""

import json
import logging

import pytest

from rlhf.commands.results.compare import main
from rlhf.compare.read.runs import load
from rlhf.compare.read.searches import searches

WHOLE = ("config.yaml", "manifest.json", "status.json", "summary.json", "best_of_n.json")
ROWS = ("metrics.jsonl", "samples.jsonl", "by_prompt.jsonl")
SWEEP = ("sweep.json", "launcher.json", "optuna.json", "find.json")
DAMAGE = {
    "empty": b"",
    "half": b'{"a": {"b": 1',
    "binary": bytes(range(256)) * 4,
    "list": b"[1, 2]\n",
    "number": b"3\n",
    "null": b"null\n",
    "deep": b"[" * 20_000 + b"\n",
    "zeros": b"\0" * 100 + b"\n",
    "directory": None,
}
ODD = (None, [3], "x", float("nan"), 10**400)


def damage(path, content):
    path.unlink(missing_ok=True)
    path.mkdir() if content is None else path.write_bytes(content)


def sweep_of(directory, rundirs, names):
    for i, name in enumerate(names):
        run = rundirs.make_run(directory / name, coef=0.05 * (1 + i % 2), seed=i)
        rundirs.write(run / "best_of_n.json", {"points": []})
        for file in ("samples.jsonl", "by_prompt.jsonl"):
            rundirs.append(run / file, {"iteration": 0, "prompts": "p", "responses": [1]})
    rundirs.write(directory / "sweep.json", {"jobs": [{"name": n, "overrides": []} for n in names]})


def is_said(path, name, kind, text):
    # rows without one whole line are being written
    return f"{path}: " in text or (name in ROWS and kind in ("empty", "half"))


@pytest.mark.slow
def test_every_file_of_a_run_damaged_in_every_way(tmp_path, rundirs, caplog, capsys):
    """One comparison of a sweep in which each run has one damaged file, and two have none."""
    places = {f"{kind}-{n}": (n, kind) for n in (*WHOLE, *ROWS) for kind in DAMAGE}
    sweep_of(tmp_path, rundirs, ["good0", "good1", *places])
    for run, (name, kind) in places.items():
        damage(tmp_path / run / name, DAMAGE[kind])
    with caplog.at_level(logging.WARNING):
        runs = {run.name: run for run in load(tmp_path)}
        assert main([str(tmp_path), "--no-tracking"]) == 0
    text = caplog.text
    silent = [run for run, (n, kind) in places.items() if not is_said(f"{run}/{n}", n, kind, text)]
    assert not silent
    assert runs.keys() == {"good0", "good1", *places}
    assert all(runs[name].finished for name in places if "summary.json" not in name)
    assert "good0" not in text and "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
def test_every_value_of_a_runs_files_of_another_type(tmp_path, rundirs, caplog):
    rundirs.make_run(tmp_path / "a")
    cases = {}
    for name in ("manifest.json", "status.json", "summary.json"):
        kept = json.loads((tmp_path / "a" / name).read_text())
        for key in kept:
            for i, odd in enumerate((*ODD, "gone")):
                changed = {k: odd if k == key else v for k, v in kept.items()}
                if odd == "gone":
                    del changed[key]
                cases[f"{name}-{key.replace('/', '_')}-{i}"] = (name, json.dumps(changed))
    row = {"iteration": 1, "eval/reward/gold": 1.0, "eval/kl/sequence_nats": 1.0}
    for key in row:
        for i, odd in enumerate(ODD):
            cases[f"row-{key.replace('/', '_')}-{i}"] = (
                "metrics.jsonl",
                json.dumps({**row, key: odd}) + "\n",
            )
    sweep_of(tmp_path / "s", rundirs, ["good0", "good1", *cases])
    for run, (name, text) in cases.items():
        (tmp_path / "s" / run / name).write_text(text)
    assert main([str(tmp_path / "s"), "--no-tracking"]) == 0
    assert main([str(tmp_path / "s"), "--status"]) == 0
    assert "git is 'x', expected a mapping" in caplog.text


STEERED = ("kl/coef", "kl/sequence_nats", "kl/target_sequence_nats", "eval/kl/sequence_nats")


@pytest.mark.slow
def test_a_steered_run_whose_numbers_are_all_nan(tmp_path, rundirs):
    """One run for each metric of the way to its target, and one with none of them a number, beside
    two whose coefficients moved."""
    nans = {"good0": (), "good1": (), "all": STEERED} | {
        f"nan{i}": (k,) for i, k in enumerate(STEERED)
    }
    for seed, (name, keys) in enumerate(nans.items()):
        run = rundirs.make_run(
            tmp_path / name, controller="Adaptive", seed=seed, iterations=12, kl=6.0
        )
        rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
        for i, row in enumerate(rows):
            row |= {"kl/coef": 0.05 + 0.01 * i, "kl/sequence_nats": 0.5 * i}
            row |= {"kl/target_sequence_nats": 6.0} | dict.fromkeys(keys, float("nan"))
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rundirs.write(tmp_path / "sweep.json", {"jobs": [{"name": n, "overrides": []} for n in nans]})
    assert main([str(tmp_path), "--no-tracking"]) == 0


@pytest.mark.parametrize("name", SWEEP)
@pytest.mark.parametrize("kind", DAMAGE)
def test_every_file_of_a_sweep(tmp_path, rundirs, caplog, name, kind):
    sweep_of(tmp_path, rundirs, ["good0", "good1"])
    damage(tmp_path / name, DAMAGE[kind])
    with caplog.at_level(logging.WARNING):
        assert main([str(tmp_path), "--status"]) == 0
        assert [run.name for run in load(tmp_path)] == ["good0", "good1"]
    if name in ("sweep.json", "launcher.json"):
        assert f"{tmp_path / name}: " in caplog.text


def test_a_job_is_never_looked_for_outside_of_its_sweep(tmp_path, rundirs, caplog):
    sweep_of(tmp_path / "s", rundirs, ["good0"])
    rundirs.make_run(tmp_path / "outside")
    jobs = [{"name": name} for name in ("../outside", str(tmp_path / "outside"), "good0", "never")]
    rundirs.write(tmp_path / "s" / "sweep.json", {"jobs": jobs})
    assert [run.name for run in load(tmp_path / "s")] == ["good0", "never"]
    assert "jobs[0].name is '../outside', expected the name of a folder" in caplog.text


@pytest.mark.parametrize("file", ["optuna.json", "find.json"])
@pytest.mark.parametrize("rows", [[3], [{}], {"a": 1}, "x", [{"number": "x", "state": 3}]])
def test_odd_results_of_a_search_are_named(tmp_path, rundirs, caplog, file, rows):
    sweep_of(tmp_path, rundirs, ["good0", "good1"])
    rundirs.write(tmp_path / file, {"trials": rows, "points": rows, "setting": "kl.coef"})
    assert searches(load(tmp_path)) == []
    assert f"{tmp_path / file}: it is not what a search writes" in caplog.text
