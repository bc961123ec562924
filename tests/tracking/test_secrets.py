import json

from rlhf.compare import compare
from rlhf.tracking.base import Dataset
from rlhf.tracking.mlflow import MLflowTracker
from rlhf.tracking.store import prepare_store


def test_nothing_that_is_sent_holds_a_secret(rundirs, tmp_path):
    """Settings, overrides, data sources and errors with secrets in dicts, lists and addresses:
    searched for in the whole store."""
    uri, sweep = f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "sweep"
    prepare_store(uri, "unit")
    for i in range(2):
        hidden = {
            "password": f"s3cret{i}",
            "more": [{"api_key": f"s3cret{i}"}],
            "url": f"postgresql://h/db?password=s3cret{i}",
        }
        data = {"_target_": "my.Data", **hidden}
        run = rundirs.make_run(
            sweep / f"r{i}",
            coef=0.1 * i,
            config={"data": data, "sweep": "sweep"},
            state="finished" if i else "failed",
        )
        if not i:
            status = json.loads((run / "status.json").read_text())
            rundirs.write(
                run / "status.json", status | {"error": "OSError: no answer of http://me:s3cret@h"}
            )
        manifest = json.loads((run / "manifest.json").read_text())
        rundirs.write(run / "manifest.json", manifest | {"config": {"data": data}})
        rundirs.make_run(
            sweep / f"again{i}", coef=0.1 * i, config={"data": data | {"seed": i}, "sweep": "sweep"}
        )
        tracker = MLflowTracker(uri, "unit")
        params = {"kl.coef": 0.1 * i, **{f"data.{key}": value for key, value in hidden.items()}}
        read = [Dataset(name="d", digest="ab", rows=1, source=data)]
        tracker.begin(run, name=run.name, params=params, tags={"stage": "ppo"}, datasets=read)
        assert tracker.finish("FINISHED" if i else "FAILED", timeout=60) is None
    words = [
        "+data.more=[{api_key: s3cret0}],[{api_key: s3cret1}]",
        "+password=s3cret",
        'tracking={uri: "http://me:s3cret@h"}',
    ]
    jobs = [
        {"name": f"r{i}", "overrides": [f"+data.more=[{{api_key: s3cret{i}}}]", "kl.coef=0"]}
        for i in range(2)
    ]
    rundirs.write(sweep / "sweep.json", {"overrides": words, "jobs": jobs})
    assert compare(sweep).warnings == ()
    files = [
        path
        for path in (tmp_path / "mlflow.db", *(tmp_path / "mlartifacts").rglob("*"))
        if path.is_file()
    ]
    assert len(files) > 8
    assert [str(path) for path in files if b"s3cret" in path.read_bytes()] == []
    assert [
        path.name
        for path in sweep.iterdir()
        if path.suffix in (".html", ".md", ".csv") and "s3cret" in path.read_text()
    ] == []
