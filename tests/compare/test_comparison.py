import csv
import html
import io
import json
import math
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from rlhf.commands.results.compare import main
from rlhf.compare import compare
from rlhf.compare.read.runs import gather
from rlhf.compare.result import NothingToCompare
from rlhf.metrics import Z95
from rlhf.tracking.links import tracked_place
from rlhf.tracking.state import open_state, write_state
from rlhf.tracking.store import prepare_store


def _csv(directory, name="runs.csv"):
    with (directory / name).open() as file:
        return list(csv.DictReader(file))


def test_files_rows_and_answer(gamed, rundirs):
    rundirs.make_run(gamed / "broken|one", coef=0.1, state="failed")
    rundirs.write(
        gamed / "sweep.json",
        {
            "overrides": ["kl.coef=0,0.05,0.2", "note='a b'"],
            "jobs": [{"name": "never", "overrides": []}],
        },
    )
    made = compare(gamed, track=False)

    assert set(made.files) == {
        "report.html",
        "frontier.png",
        "matched.csv",
        "settings.csv",
        "differences.csv",
        "runs.csv",
        "report.md",
    }
    assert all(path.parent == gamed and path.stat().st_size for path in made.files.values())
    assert made.answer.startswith("kl.coef=0.05 is first, with gold reward 2.40 at 6.00 nats. ")
    assert [s["label"] for s in made.settings] == ["kl.coef=0", "kl.coef=0.05", "kl.coef=0.2"]
    best = made.settings[1]
    assert (
        best["kl.coef"],
        best["reward/gold"],
        best["reward/gold_se"],
        best["reward/gold_n"],
        best["seeds"],
    ) == (0.05, 2.4, 0.1, 1, [0])
    half = 1.959964 * math.hypot(0.1, 0.1)
    assert (best["reward/gold_gain"], best["reward/gold_gain_low"]) == pytest.approx(
        (1.4, 1.4 - half)
    )
    assert best["reward/gold_high"] == pytest.approx(2.4 + 1.959964 * 0.1)

    ends = _csv(gamed, "settings.csv")
    assert ends[0] == {
        "setting": "kl.coef=0",
        "number": "kl/sequence_nats",
        "prompts": "these prompts",
        "mean": "20.0",
        "low": str(20 - Z95 * 0.1),
        "high": str(20 + Z95 * 0.1),
        "runs": "1",
        "interval_of": "evaluation",
    }
    others = _csv(gamed, "differences.csv")
    assert [(row["setting"], row["less"]) for row in others] == [
        ("kl.coef=0.05", "kl.coef=0.2"),
        ("kl.coef=0.05", "kl.coef=0"),
    ]
    rows = {row["name"]: row for row in _csv(gamed)}
    assert list(rows["never"])[:7] == [
        "name",
        "status",
        "kl.coef",
        "kl.controller",
        "seed",
        "stage",
        "ppo/score",
    ]
    assert {
        "reward/proxy",
        "reward/gold",
        "kl/sequence_nats",
        "kl/sequence_nats_se",
        "sft/reward/gold",
        "fingerprint.sft",
        "wall_seconds",
    } <= set(rows["never"])
    assert (
        rows["kl.coef=0.05"]["reward/gold"],
        rows["kl.coef=0.05"]["kl.controller"],
        rows["kl.coef=0.05"]["status"],
    ) == (
        "2.4",
        "fixed",
        "finished",
    )
    assert (
        rows["broken|one"]["status"],
        rows["broken|one"]["kl.coef"],
        rows["broken|one"]["reward/gold"],
    ) == ("failed", "0.1", "")
    assert rows["never"]["status"] == "not started"

    report = (gamed / "report.md").read_text()
    lines = report.splitlines()
    assert lines[0] == "# gamed"
    # page, report and terminal say the same
    verdict = lines[2].strip("*")
    assert made.answer.startswith(verdict) and "Over-optimisation: " in lines[10]
    assert verdict in html.unescape(made.files["report.html"].read_text())
    assert "(frontier.png)" in report
    assert "| SFT |  | 0 | 0.00 ± 0.20 | 1.00 ± 0.20 |  |  |  |" in report
    assert (
        "| kl.coef=0.05 (highest) | 1 | 6.00 ± 0.20 | 3.00 ± 0.20 | 2.40 ± 0.20 | 1.40 ± 0.28 |"
        in report
    )
    assert "2 of 5 runs did not finish" in report
    assert (
        "| failed | ValueError: the reward became nan | [broken|one/log.txt](broken|one/log.txt) |"
        in report.replace("\\|", "|")
    )
    assert "| `kl.coef` | 0.0, 0.05, 0.1, 0.2 |" in report
    assert "| sft | one for all runs | `ssssssss` |" in report
    assert "rlhf -m kl.coef=0,0.05,0.2 'note='\"'\"'a b'\"'\"''" in report


def test_a_copy_of_a_run_is_marked_in_the_table(gamed, rundirs):
    again = rundirs.make_run(
        gamed.parent / "reproduced" / "kl.coef=0.2",
        coef=0.2,
        proxy=1.0,
        gold=1.5,
        kl=2.0,
        iterations=4,
    )
    made = compare(gamed.parent / "both", runs=gather([gamed, again]), track=False)
    marked = {row["name"]: row["copy_of"] for row in _csv(gamed.parent / "both")}
    assert marked == {
        "kl.coef=0.0": "",
        "kl.coef=0.05": "",
        "gamed/kl.coef=0.2": "",
        "reproduced/kl.coef=0.2": "gamed/kl.coef=0.2",
    }
    assert [s["reward/gold_n"] for s in made.settings] == [1, 1, 1]


def test_the_same_again_writes_the_same(gamed):
    compare(gamed, track=False)
    first = {
        name: (gamed / name).read_bytes()
        for name in ("report.html", "report.md", "runs.csv", "frontier.png")
    }
    compare(gamed, track=False)
    assert first == {name: (gamed / name).read_bytes() for name in first}


def test_one_run_without_gold(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "s" / "only", gold=None)
    made = compare(tmp_path / "s", track=False)
    assert made.answer.startswith("kl.coef=0.05 reaches proxy reward 1.00 at 4.00 nats.")
    assert (
        "gold"
        not in (tmp_path / "s" / "report.md").read_text().split("## Settings")[1].split("##")[0]
    )
    assert _csv(tmp_path / "s")[0]["reward/gold"] == ""


def test_numbers_that_are_none_reach_the_table(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "s" / "a", coef=0.0, proxy="nan", gold="inf", kl="nan")
    rundirs.make_run(tmp_path / "s" / "b", coef=0.1)
    compare(tmp_path / "s", track=False)
    assert _csv(tmp_path / "s")[0]["reward/gold"] == "inf"
    assert (
        "| kl.coef=0 | 1 (1 without a finite reward) | - | - | - | - |"
        in (tmp_path / "s" / "report.md").read_text()
    )


def test_nothing_has_finished(rundirs, tmp_path, capsys):
    sweep = tmp_path / "s"
    rundirs.make_run(sweep / "a", state="failed")
    (sweep / "frontier.png").write_bytes(b"of before")
    assert main([str(sweep), "--no-tracking"]) == 1
    said = capsys.readouterr().out
    assert "No run of this sweep has finished yet." in said
    assert "ValueError: the reward became nan" in said
    assert not (sweep / "frontier.png").exists()
    assert "No run of this sweep has finished yet." in (sweep / "report.md").read_text()


def test_the_terminal_shows_table_answer_and_places(gamed):
    console = Console(file=io.StringIO(), width=140)
    compare(gamed, console=console, track=False)
    said = console.file.getvalue()
    assert "kl.coef=0.05 (highest)" in said
    assert "2.40 ± 0.20" in said
    assert "Over-optimisation: " in said
    assert "report.md" in said


def test_paths_that_are_no_sweep(gamed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweeps/gamd"]) == 2
    assert "Did you mean sweeps/gamed?" in capsys.readouterr().err
    assert main(["gamed"]) == 2
    assert "Did you mean sweeps/gamed?" in capsys.readouterr().err
    assert main(["sweeps/gamed/kl.coef=0.05"]) == 2
    assert "single run" in capsys.readouterr().err
    (tmp_path / "sweeps" / "empty").mkdir()
    assert main(["sweeps/empty"]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert main(["sweeps/gamed", "--no-tracking"]) == 0
    with pytest.raises(SystemExit) as left:
        main(["--nonsense"])
    assert left.value.code == 2
    with pytest.raises(NothingToCompare):
        compare(tmp_path / "nowhere")


@pytest.mark.slow
def test_a_tracked_sweep_gets_a_summary_run_and_what_runs_owe(rundirs, tmp_path):
    from rlhf.tracking.ended.deliver import pending
    from rlhf.tracking.state import read_state
    from rlhf.tracking.store import connect

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    sweep = tmp_path / "attached"
    stage = rundirs.make_run(tmp_path / "artifacts" / "sft" / "abc")
    open_state(stage, uri=uri, experiment="unit", name="sft", params={}, tags={"stage": "sft"})
    for coef in (0.0, 0.1):
        run = rundirs.make_run(
            sweep / f"c{coef}",
            coef=coef,
            config={"paths": {"artifacts": str(tmp_path / "artifacts")}},
        )
        open_state(
            run,
            uri=uri,
            experiment="unit",
            name=run.name,
            params={"kl.coef": coef},
            tags={"stage": "ppo"},
        )
    made = compare(sweep)  # which makes the store, as no command before could
    assert made.warnings == ()
    assert not any(pending(run) for run in (stage, *sweep.glob("c*")))
    client = connect(uri)
    experiment_id = prepare_store(uri, "unit")
    (summary,) = client.search_runs([experiment_id], "tags.stage = 'sweep'")
    attached = {f.path for f in client.list_artifacts(summary.info.run_id)}
    assert attached == {
        "description",
        "differences.csv",
        "frontier.png",
        "matched.csv",
        "report.html",
        "report.md",
        "runs.csv",
        "settings.csv",
    }
    assert summary.data.metrics["sweep/runs/finished"] == 2.0
    note = summary.data.tags["mlflow.note.content"]
    assert "has the highest gold reward" in note
    assert "](frontier.png)" not in note
    ids = [read_state(sweep / name)["run_id"] for name in ("c0.0", "c0.1")]
    assert all(run_id in made.links["side by side"] for run_id in ids)
    # no view finds runs that are of no sweep
    assert {"summary", "side by side"} <= made.links.keys() and "runs" not in made.links
    compare(sweep)
    assert len(client.search_runs([experiment_id])) == 4  # two jobs, a stage, the summary
    client.delete_run(ids[0])
    made = compare(sweep)
    assert (made.warnings, made.links["summary"].count(summary.info.run_id)) == ((), 1)
    (tmp_path / "mlflow.db").unlink()
    assert compare(sweep).warnings == (
        f"The comparison was not attached: {tmp_path / 'mlflow.db'} is not there any more.",
    )


def test_a_whole_sweep_has_views(rundirs, store, tmp_path, monkeypatch):
    sweep = tmp_path / "whole"
    for coef in (0.0, 0.1):
        run = rundirs.make_run(sweep / f"c{coef}", coef=coef, config={"sweep": "whole"})
        open_state(
            run,
            uri=store,
            experiment="unit",
            name=run.name,
            params={"kl.coef": coef},
            tags={"stage": "ppo", "sweep": "whole"},
        )
    monkeypatch.chdir(tmp_path)
    links = compare(sweep).links
    assert {"runs", "charts", "samples"} <= links.keys()
    assert links["command"] == "rlhf ui whole" and tracked_place(Path("whole"))[0] == store


def test_a_dead_server_is_a_warning(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "s" / "a")
    uri = "http://me:pw@127.0.0.1:9"
    open_state(run, uri=uri, experiment="unit", name="a", params={}, tags={"stage": "ppo"})
    (warning,) = compare(tmp_path / "s").warnings
    assert "was not attached" in warning
    assert "me:pw" not in warning
    assert json.loads((tmp_path / "s" / "a" / "summary.json").read_text())["status"] == "finished"


def tracked_sweep(rundirs, store, sweep):
    for coef in (0.0, 0.1):
        run = rundirs.make_run(sweep / f"c{coef}", coef=coef, config={"sweep": sweep.name})
        open_state(
            run,
            uri=store,
            experiment="unit",
            name=run.name,
            params={"kl.coef": coef},
            tags={"stage": "ppo", "sweep": sweep.name},
        )
    return sweep


def of_sweep(client, name):
    """What MLflow has of a sweep: everything that a comparison could write."""
    experiment = client.get_experiment_by_name("unit")
    runs = client.search_runs([experiment.experiment_id], f"tags.sweep = '{name}'")
    files = {file.path: file.file_size for run in runs for file in files_of(client, run)}
    return [run.to_dictionary() for run in runs], files


def files_of(client, run):
    return client.list_artifacts(run.info.run_id)


def test_a_copied_sweep_leaves_the_originals_summary_as_it_is(rundirs, store, client, tmp_path):
    sweep = tracked_sweep(rundirs, store, tmp_path / "sweeps" / "copied")
    assert compare(sweep).warnings == ()
    before = of_sweep(client, "copied")
    assert len(before[0]) == 3
    copy = tmp_path / "elsewhere" / "copied"
    shutil.copytree(sweep, copy)
    shutil.rmtree(copy / "c0.1")
    for adopting in ([], ["--adopt"]):  # no: the original is there
        assert main([str(copy), *adopting]) == 0
        assert of_sweep(client, "copied") == before
    result = compare(copy)
    assert result.links == {}
    assert f"c0.0 is a copy of {sweep / 'c0.0'}" in result.warnings[0]
    assert "compare that one" in result.warnings[0]
    # a job of the copy that runs again is another run, below another summary
    rundirs.make_run(copy / "c0.2", coef=0.2, config={"sweep": "copied"})
    own = {"uri": store, "experiment": "unit", "params": {}}
    open_state(copy / "c0.2", name="c0.2", tags={"stage": "ppo", "sweep": "copied"}, **own)
    assert compare(copy).warnings == ()
    runs, _ = of_sweep(client, "copied")
    assert len(runs) == 5 and all(run in runs for run in before[0])


def test_a_moved_sweep_keeps_its_summary(rundirs, store, client, tmp_path):
    sweep = tracked_sweep(rundirs, store, tmp_path / "moves")
    compare(sweep)
    ids = {run["info"]["run_id"] for run in of_sweep(client, "moves")[0]}
    sweep.rename(tmp_path / "moved")
    assert compare(tmp_path / "moved").warnings == ()
    assert {run["info"]["run_id"] for run in of_sweep(client, "moves")[0]} == ids


def test_a_sweep_that_came_from_elsewhere_names_a_store_and_is_not_attached(
    rundirs, store, client, tmp_path
):
    sweep = tracked_sweep(rundirs, store, tmp_path / "foreign")
    for run in sweep.iterdir():
        state = json.loads((run / "tracking.json").read_text())
        home = {"path": "/home/somebody/x", "inode": 1, "host": "theirs"}
        write_state(run, state | {"home": home})
    (warning,) = compare(sweep).warnings
    assert "is a copy of /home/somebody/x" in warning and "--adopt" in warning
    assert of_sweep(client, "foreign")[0] == []
    assert main([str(sweep), "--adopt"]) == 0
    assert len(of_sweep(client, "foreign")[0]) == 3


def test_passwords_stay_out_of_every_file(gamed, rundirs):
    broken = rundirs.make_run(gamed / "broken", coef=0.1, state="failed")
    status = json.loads((broken / "status.json").read_text())
    rundirs.write(
        broken / "status.json", status | {"error": "OSError: no answer of https://me:s3cret@host/x"}
    )
    for run in ("kl.coef=0.0", "kl.coef=0.05"):
        config = json.loads((gamed / run / "config.yaml").read_text())
        secrets = {
            "judge": {"api_key": f"s3cret-{run}"},
            "data": {"files": [f"https://me:s3cret-{run}@host/x"]},
        }
        rundirs.write(gamed / run / "config.yaml", config | secrets)
    overrides = ["kl.coef=0,0.05", "tracking.uri=https://me:s3c@ret@host/x", "+hub.token=s3cret"]
    rundirs.write(gamed / "sweep.json", {"overrides": overrides, "jobs": []})
    console = Console(file=io.StringIO(), width=160)
    made = compare(gamed, console=console, track=False)
    texts = [path.read_text() for path in made.files.values() if path.suffix != ".png"] + [
        console.file.getvalue()
    ]
    assert not any(secret in text for text in texts for secret in ("s3c", "ret@host"))
    for name in ("report.md", "report.html"):
        text = made.files[name].read_text().replace("&#39;", "'")
        assert (
            "'tracking.uri=https://***@host/x' '+hub.token=***'" in text
            and "https://***@host/x |" in text
            or name == "report.html"
        )


def test_an_mlflow_that_does_not_answer_is_one_sentence(capsys, monkeypatch):
    assert main(["--mlflow", "unit", "--tracking-uri", "http://me:pw@127.0.0.1:9"]) == 2
    said = capsys.readouterr().err
    assert (
        "MLflow at http://***@127.0.0.1:9 does not answer" in said
        and "Traceback" not in said
        and "pw" not in said
    )
    assert main(["--mlflow", "unit", "--tracking-uri", "ftp://me:pw@host"]) == 2
    said = capsys.readouterr().err
    assert "MLflow keeps runs in a database or a server" in said and "pw" not in said
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:p%40w@host")
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert "https://***@host" in said and "p%40w" not in said


@pytest.mark.parametrize("label", ["cost $x_{$y", "a\x1bb", "<img src=x>|**b**\nc", "half \ud83d"])
def test_no_label_breaks_a_page_or_a_table(rundirs, tmp_path, label):
    for i, name in enumerate((label, "plain")):
        run = rundirs.make_run(
            tmp_path / "s" / str(i), config={"data": {"name": name}}, gold=1.0 + i
        )
        rundirs.append(
            run / "samples.jsonl", {"iteration": 3, "prompt": "p\ud83d", "response": label}
        )
    made = compare(tmp_path / "s", track=False)
    text, page = (made.files[name].read_text() for name in ("report.md", "report.html"))
    assert "<img" not in text and "<img" not in re.sub(
        r"<script>.*?</script>", "", page, flags=re.S
    )
    rows = [
        line
        for line in text.split("## Settings")[1].split("##")[0].splitlines()
        if line.startswith("|")
    ]
    assert {line.replace("\\|", "").count("|") for line in rows} == {9} and ("**b** c" in page) == (
        "**" in label
    )


def test_a_kl_of_any_size_is_drawn(rundirs, tmp_path):
    for i, kl in enumerate((2.0, 1e20)):
        rundirs.make_run(tmp_path / "s" / str(i), coef=0.1 + i, kl=kl)
    assert "report.html" in compare(tmp_path / "s", track=False).files


def test_copies_alone_do_not_differ_in_the_seed(rundirs, tmp_path):
    for name in "ab":
        rundirs.make_run(tmp_path / "s" / name)
    assert (
        "Nothing, not even the seed."
        in compare(tmp_path / "s", track=False).files["report.md"].read_text()
    )


def test_every_sft_policy_has_its_row_and_none_its_star(rundirs, tmp_path):
    for i, sft in enumerate("ab"):
        run = rundirs.make_run(tmp_path / "s" / sft, coef=0.1 + i)
        summary = json.loads((run / "summary.json").read_text())
        rundirs.write(run / "summary.json", summary | {"fingerprints": {"sft": sft}})
    made = compare(tmp_path / "s", track=False)
    text, page = (made.files[name].read_text() for name in ("report.md", "report.html"))
    assert (
        "| SFT of kl.coef=0.1 |" in text
        and "| SFT of kl.coef=1.1 |" in text
        and "| SFT |" not in text
    )
    assert (
        'data-mark="sft"' not in page
        and "star is SFT" not in page
        and "where all runs begin" not in page
    )


def test_no_gold_no_drop(rundirs, tmp_path):
    from rlhf.compare.read.runs import load
    from rlhf.compare.statistics.study import study
    from rlhf.compare.text.report import metrics

    rundirs.make_run(tmp_path / "gold" / "a")
    rundirs.make_run(tmp_path / "none" / "a", gold=None)
    gold, none = (metrics(study(tmp_path, load(tmp_path / name))) for name in ("gold", "none"))
    assert gold["over_optimisation/gold_drop"] == 0.0 and "over_optimisation/gold_drop" not in none
