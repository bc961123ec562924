import pytest

from rlhf.tracking.lookup import run_directory, run_ids


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
