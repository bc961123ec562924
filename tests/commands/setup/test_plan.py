"""What is said of the runs of a command before it is given."""

import json
from pathlib import Path

import pytest

from rlhf.commands.runs.run import main as run
from rlhf.commands.setup.plan import main
from rlhf.config.compose import compose, validate
from rlhf.config.validate import cautions
from rlhf.rundir.noted import write_manifest
from tests.conftest import SMALL


@pytest.fixture
def plan(home, capsys):
    """plan(word, ...) -> (exit code, the report)"""

    def go(*words):
        capsys.readouterr()
        code = main([*words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return go


def test_a_run(plan, home):
    code, report = plan("kl.coef=0.1")
    (job,) = report["jobs"]
    assert code == 0
    assert job["directory"] == f"outputs/default/{job['name']}"
    assert job["name"].startswith("kl0.1-fixed-seed0-") and job["name"].endswith(job["hash"])
    assert (job["state"], job["would"], job["iteration"]) == ("not started", "start", 0)
    assert job["stages"] == {"sft": "to train", "reward_model": "to train"}
    assert report["command"]["sweep"] is None
    assert [*home.iterdir()] == []  # nothing is made


def test_a_sweep_shares_its_stages(plan):
    """13,568 responses each: 2,048 of best of n and 512 to normalise are drawn once for all; and
    11,008 by each of three runs. The fourth is one of them again."""
    code, report = plan("-m", "kl.coef=0,0.05,0.1,0.10", "hydra.launcher.jobs=2")
    jobs, totals = report["jobs"], report["totals"]
    assert code == 0 and len(jobs) == 4 and len({job["name"] for job in jobs}) == 3
    sweep = report["command"]["sweep"]
    assert report["command"]["directory"] == f"sweeps/{sweep}"
    assert {job["directory"] for job in jobs} == {f"sweeps/{sweep}/{job['name']}" for job in jobs}
    assert report["needs"]["responses"] == {
        "training": 7680,
        "evaluations": 3328,
        "best of n": 2048,
        "normalisation": 512,
    }
    assert totals["responses"] == 3 * 11_008 + 2_048 + 512
    assert (totals["runs"], totals["at_once"], totals["would"]) == (3, 2, {"start": 3})
    assert [(stage["name"], stage["known"]) for stage in report["stages"]] == [
        ("sft", "to train"),
        ("reward_model", "to train"),
    ]


def test_what_decides_a_stage_makes_it_another(plan):
    _, report = plan("-m", "sft.seed=0,1", "kl.coef=0.1,0.2")
    assert [(s["name"], s["runs"]) for s in report["stages"]] == [
        ("sft", 2),
        ("sft", 2),
        ("reward_model", 2),
        ("reward_model", 2),
    ]


def test_a_search_says_that_it_is_one(plan, capsys):
    code, report = plan("experiment=find_coef_for_kl")
    assert code == 0 and report["command"]["trials"] == 8
    main(["experiment=find_coef_for_kl"])
    assert "a search of up to 8 trials" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["kl.coef=x"],
        ["-m", "kl.coef=0,x", "ppo.iteration=3"],
        ["data=jsonl", "data.demonstrations=gone.jsonl", "data.gold=vader"],
        ["experiment=nothing"],
        ["trainer.threads=1024", "paths.artifacts=file/a"],
    ],
)
def test_faults_are_those_of_the_run(home, capsys, words):
    (home / "file").touch()
    assert main(words) == 2
    planned = capsys.readouterr().err
    assert run(words) == 2
    assert capsys.readouterr().err == planned != ""


def test_warnings_are_those_of_the_run(plan):
    words = ["generation.temperature=0.7", "kl=none"]
    _, report = plan(*words)
    assert report["command"]["warnings"] == cautions(validate(compose(words))) != []


def test_groups_of_ones_own(plan, home):
    (home / "conf/kl/coef").mkdir(parents=True)
    (home / "conf/kl/coef/mine.yaml").write_text("# @package kl\ncoef: 0.123\n")
    code, report = plan("kl/coef=mine", "--config-dir", str(home / "conf"))
    assert code == 0 and report["jobs"][0]["name"].startswith("kl0.123-")


def test_four_hundred_jobs(home, capsys):
    assert main(["-m", "seed=range(0,100)", "kl.coef=0,0.1,0.2,0.3", *SMALL]) == 0
    shown = capsys.readouterr().out
    assert shown.count("-fixed-seed") == 400 and "400 would start" in shown


# --- beside what is there


def stages_of(report):
    return report["jobs"][0]["stages"]


def test_beside_a_run_that_is_finished(plan, home, run_in):
    """A run of the same config is left as it is; another coefficient shares its stages, other rows
    of the same parts may, other settings do not. One that was cut goes on from its checkpoint."""
    store = f"paths.artifacts={home}/outputs/artifacts"
    _, report = plan(*SMALL, store)
    assert stages_of(report) == {"sft": "to train", "reward_model": "to train"}
    directory = Path(report["jobs"][0]["directory"])
    run_in(directory, store)
    _, report = plan(*SMALL, store)
    (job,) = report["jobs"]
    assert (job["state"], job["would"], job["stages"]) == ("finished", "nothing", {})
    assert report["needs"] is None and report["totals"]["would"] == {"nothing": 1}

    _, report = plan(*SMALL, store, "kl.coef=0.2")
    assert stages_of(report) == {"sft": "made", "reward_model": "made"}
    assert set(report["needs"]["memory"]) == {"ppo"}  # the stages that are made count no more
    assert "normalisation" not in report["needs"]["responses"]
    (sft,) = (stage["artifacts"] for stage in report["stages"] if stage["name"] == "sft")
    assert (Path(sft[0]) / "model.safetensors").is_file()
    _, report = plan(*SMALL, store, "data.pairs=60")
    assert stages_of(report)["sft"] == "perhaps made"  # it is; a tokenizer would tell
    _, report = plan(*SMALL, store, "sft.epochs=3")
    assert stages_of(report) == {"sft": "to train", "reward_model": "to train"}
    _, report = plan(*SMALL, store, "data.demonstrations=65")
    assert stages_of(report)["sft"] == "to train"

    (directory / "summary.json").unlink()
    (directory / "checkpoints").mkdir()
    for end in ("ckpt", "sha256"):
        (directory / f"checkpoints/iteration-000002.{end}").touch()
    _, report = plan(*SMALL, store)
    (job,) = report["jobs"]
    assert (job["would"], job["iteration"], job["iterations"]) == ("resume", 2, 4)
    manifest = json.loads((directory / "manifest.json").read_text())
    write_manifest(directory / "manifest.json", {**manifest, "hash": "0" * 8})
    _, report = plan(*SMALL, store)
    assert report["jobs"][0]["would"] == "be refused"
    assert "belongs to another config" in report["command"]["warnings"][0]
