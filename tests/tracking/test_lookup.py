import pytest

from rlhf.commands.results.compare import main
from rlhf.tracking.ended.deliver import deliver
from rlhf.tracking.lookup import DIRECTORY_TAG, directories, run_directory, run_ids
from rlhf.tracking.state import open_state, read_state
from rlhf.tracking.store import prepare_store


def test_from_a_run_id_to_its_directory(store, client, tmp_path):
    experiment = client.get_experiment_by_name("unit").experiment_id
    published = tmp_path / "sft" / "abc"
    published.mkdir(parents=True)
    ours = client.create_run(experiment, tags={"rlhf.directory": str(published)}).info.run_id
    stage = client.create_run(experiment, tags={"rlhf.directory": f"{published}.work"}).info.run_id
    gone = client.create_run(
        experiment, tags={"rlhf.directory": str(tmp_path / "gone")}
    ).info.run_id
    foreign = client.create_run(experiment).info.run_id
    assert run_directory(store, ours) == run_directory(store, stage) == published
    assert {ours, stage, gone, foreign} <= set(run_ids(store))
    with pytest.raises(LookupError, match="no longer there"):
        run_directory(store, gone)
    with pytest.raises(LookupError, match="is no run of rlhf"):
        run_directory(store, foreign)


def test_a_store_that_is_none(tmp_path):
    with pytest.raises(LookupError, match="there is no MLflow store at"):
        run_directory(f"sqlite:///{tmp_path}/none.db", "0" * 32)
    (tmp_path / "empty.db").write_bytes(b"")
    with pytest.raises(LookupError, match="is no MLflow store"):
        run_directory(f"sqlite:///{tmp_path}/empty.db", "0" * 32)
    assert run_ids(f"sqlite:///{tmp_path}/empty.db") == [] == run_ids("http://127.0.0.1:1")


def test_an_experiment_or_ids_become_directories(rundirs, tmp_path, monkeypatch, capsys):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(LookupError, match="no MLflow store"):
        directories(uri, ["unit"])
    prepare_store(uri, "unit")
    runs = []
    for name, stage in (("a", "ppo"), ("b", "ppo"), ("c", "sft")):
        run = rundirs.make_run(tmp_path / name, coef=0.1 if name == "a" else 0.2)
        open_state(
            run,
            uri=uri,
            experiment="unit",
            name=name,
            params={},
            tags={"stage": stage, DIRECTORY_TAG: str(run)},
        )
        assert deliver(run) is None
        runs.append(run)
    assert directories(uri, ["unit"]) == runs[:2]
    assert directories(uri, [read_state(runs[1])["run_id"], "unit"]) == [runs[1], runs[0]]
    with pytest.raises(LookupError, match="it has .*unit"):
        directories(uri, ["other"])
    monkeypatch.chdir(tmp_path)
    assert main(["--mlflow", "unit", "--tracking-uri", uri, "--into", "both"]) == 0
    assert "kl.coef=0.2" in (tmp_path / "both" / "report.html").read_text()
    assert main(["--mlflow", "other", "--tracking-uri", uri]) == 2
    assert "no experiment" in capsys.readouterr().err
