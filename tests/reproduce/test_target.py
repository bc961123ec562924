import pytest

from rlhf.reproduce.target import Refused, find
from rlhf.rundir.files import write_json

STORE = "sqlite:///none.db"


def made(directory, **manifest):
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text("data: {}\n")
    write_json(directory / "manifest.json", {"kind": "run", "stage": "ppo", **manifest})
    return directory


def test_run_stage_and_sweep(tmp_path):
    run = find(str(made(tmp_path / "kl0-fixed-seed0-1a2b3c4d")), STORE)
    assert (run.kind, run.name, run.jobs[0].state) == (
        "run",
        "kl0-fixed-seed0-1a2b3c4d",
        "not started",
    )
    fingerprint = "0123456789abcdef"
    stage = find(
        str(made(tmp_path / "sft" / fingerprint, kind="artifact", stage="sft", hash=fingerprint)),
        STORE,
    )
    assert (stage.kind, stage.name, stage.jobs[0].state) == ("stage", "sft-01234567", "finished")
    assert stage.jobs[0].fingerprints == {"sft": fingerprint}
    sweep = tmp_path / "sweeps" / "s"
    for name in ("b", "a"):
        made(sweep / name)
    write_json(
        sweep / "sweep.json",
        {
            "overrides": ["seed=0,1"],
            "jobs": [{"name": n, "overrides": [f"seed={n}"]} for n in ("b", "never")],
        },
    )
    found = find(str(sweep), STORE)
    assert (found.kind, found.overrides, [job.name for job in found.jobs]) == (
        "sweep",
        ("seed=0,1",),
        ["b", "never", "a"],
    )
    assert [job.began for job in found.jobs] == [True, False, True] and found.jobs[0].overrides == (
        "seed=b",
    )


def test_states(tmp_path):
    directory = made(tmp_path / "run")
    for status, summary, state in (
        ({"state": "failed"}, {}, "failed"),
        ({"state": "running", "pid": 2**22 + 1}, {}, "cut"),
        ({"state": "stopped"}, {"status": "finished"}, "finished"),
    ):
        write_json(directory / "status.json", status)
        write_json(directory / "summary.json", summary)
        assert find(str(directory), STORE).jobs[0].state == state


def test_what_is_near_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "outputs" / "default" / "kl0.05-fixed-seed0-1a2b3c4d")
    (tmp_path / "outputs" / "artifacts" / "sft" / "0123.work").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    write_json(tmp_path / "sweeps" / "s" / "sweep.json", {"jobs": [{"name": "never"}]})
    meant = "Did you mean outputs/default/kl0.05-fixed-seed0-1a2b3c4d?"
    for argument, said in {
        "kl0.05-fixed-seed0": meant,
        "1a2b3c4d": f"no whole MLflow run id (32 digits). {meant}",
        "outputs/defalt/kl0.05-fixed-seed0-1a2b3c4d": meant,
        "outputs": f"is no run and no sweep, but holds 1 of them. {meant}",
        "outputs/default/kl0.05-fixed-seed0-1a2b3c4d/config.yaml": "is a file, not a directory",
        "empty": "it has no config.yaml and manifest.json",
        "outputs/artifacts/sft/0123.work": "is a stage that is not finished",
        "sweeps/s": "no job of sweeps/s has begun",
        "f" * 32: "there is no MLflow store at",
    }.items():
        with pytest.raises(Refused) as refused:
            find(argument, STORE)
        assert said in str(refused.value), argument


def test_an_address_that_is_none():
    with pytest.raises(Refused, match="MLflow keeps runs in a database"):
        find("f" * 32, "mlruns")
