import pytest

from rlhf.commands.compare import main
from rlhf.tracking.delivery import open_state, read_state
from rlhf.tracking.experiments import directories
from rlhf.tracking.lookup import DIRECTORY_TAG
from rlhf.tracking.mlflow import deliver
from rlhf.tracking.store import prepare_store


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
