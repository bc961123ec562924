from pathlib import Path
from threading import Barrier, Thread

import pytest

from rlhf.tracking.models import policy
from rlhf.tracking.models.policy import BestPolicy, log_best_policy, model_link, model_name
from rlhf.tracking.store import prepare_store


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "policy"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"123456")
    return place


@pytest.fixture
def best(client, store, folder, tmp_path):
    """best(digest) of a sweep of this test alone."""
    experiment = prepare_store(store, "unit")
    run, summary = (client.create_run(experiment).info.run_id for _ in range(2))

    def log(digest, *, card="---\nlicense: unknown\n---\n\n# mine\n"):
        return log_best_policy(
            store,
            experiment,
            summary,
            BestPolicy(
                sweep="b.1",
                sweep_directory=tmp_path,
                run_id=run,
                folder=folder,
                digest=digest,
                card=card,
                params={"kl.coef": 0.1, "hub.token": "s3cr3t"},
                metrics={"reward/proxy": 1.5, "reward/odd": float("inf")},
                tags={"verdict": "tied"},
            ),
        )

    log.run, log.summary = run, summary
    return log


def files(client, model_id):
    location = client.get_logged_model(model_id).artifact_location.removeprefix("file://")
    return {path.name: path.read_bytes() for path in Path(location).iterdir()}


def test_a_model_with_its_card_its_files_its_settings_and_its_numbers(client, best):
    model = client.get_logged_model(best("aa"))
    assert (model.name, str(model.status), model.model_type) == (
        "b_1 best policy",
        "READY",
        "policy",
    )
    assert model.source_run_id == best.run
    assert model.params == {"kl.coef": "0.1", "hub.token": "***"}
    assert model.tags["mlflow.note.content"] == "# mine\n"
    assert (model.tags["verdict"], model.tags["best"]) == ("tied", "true")
    assert [(m.key, m.value, m.run_id) for m in model.metrics] == [
        ("best/reward/proxy", 1.5, best.summary)
    ]
    kept = files(client, model.model_id)
    assert b"model_id: " + model.model_id.encode() in kept.pop("MLmodel")
    assert kept == {
        "README.md": b"---\nlicense: unknown\n---\n\n# mine\n",
        "config.json": b"{}",
        "model.safetensors": b"123456",
    }


def test_the_same_policy_is_one_model_and_another_takes_its_place(client, best):
    first = best("aa")
    assert best("aa", card="# newer\n") == first
    assert files(client, first)["README.md"] == b"# newer\n"
    assert client.get_logged_model(first).tags["mlflow.note.content"] == "# newer\n"
    second = best("bb")
    assert second != first
    tags = [client.get_logged_model(each).tags["best"] for each in (first, second)]
    assert tags == ["false", "true"]
    assert best("aa") == first  # it is the best again
    tags = [client.get_logged_model(each).tags["best"] for each in (first, second)]
    assert tags == ["true", "false"]


def test_large_weights_stay_where_they_are_and_a_tag_says_where(client, best, folder, monkeypatch):
    monkeypatch.setattr(policy, "MOST_WEIGHTS", 5)
    model = best("cc")
    assert files(client, model).keys() == {"README.md", "config.json"}
    assert client.get_logged_model(model).tags["weights"] == str(folder)


def test_a_model_whose_files_were_refused_counts_as_failed(client, best, folder):
    (folder / "bad").symlink_to(folder / "nowhere")  # it cannot be copied
    with pytest.raises(Exception, match="policy/bad"):
        best("dd")
    (folder / "bad").unlink()
    assert str(client.get_logged_model(best("dd")).status) == "READY"


def test_a_name_that_mlflow_takes():
    assert model_name("a/b:c.d%e") == "a_b_c_d_e best policy"
    link = model_link("http://127.0.0.1:9", "3", "m-1")
    assert link == "http://127.0.0.1:9/#/experiments/3/models/m-1?workflowType=machine_learning"


def test_two_comparisons_at_once_make_one_model(client, best):
    both, ids = Barrier(2), []

    def log():
        both.wait(30)
        ids.append(best("a"))

    threads = [Thread(target=log) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 2 and len(set(ids)) == 1
