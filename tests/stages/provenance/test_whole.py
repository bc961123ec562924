import logging

import pytest

from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_object
from rlhf.stages.artifacts import ArtifactStore
from rlhf.stages.provenance.whole import damage


def published(root, content="weights"):
    def make(work):
        (work / "model.safetensors").write_text(content)
        (work / "config.json").write_text("{}")
        return {"metrics": {"loss": float("nan"), "pair": (1, 0.1)}}

    return ArtifactStore(root).get("sft", "abc", make)


def flip(path):
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def test_an_artifact_as_it_was_published_is_whole(tmp_path):
    path = published(tmp_path)
    assert damage(path) == []
    for later in ("status.json", "tracking.json", ".lock", "notes.md"):
        (path / later).write_text("{}")
    assert damage(path) == []


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        (lambda p: flip(p / "model.safetensors"), "model.safetensors is not what was written"),
        (lambda p: cut(p / "model.safetensors"), "model.safetensors has 6 bytes of 7"),
        (lambda p: (p / "config.json").unlink(), "config.json is gone"),
        (lambda p: (p / "pytorch_model.bin").write_text(""), "pytorch_model.bin was added later"),
        (lambda p: (p / "code.py").write_text(""), "code.py was added later"),
        (lambda p: (p / "manifest.json").write_text(""), "manifest.json cannot be read"),
        (
            lambda p: write_json(
                p / "manifest.json",
                {**(read_object(p / "manifest.json") or {}), "metrics": {"loss": 0.0}},
            ),
            "manifest.json is not what was written",
        ),
    ],
)
def test_a_damaged_artifact_is_named_and_made_again(tmp_path, caplog, harm, fault):
    path = published(tmp_path)
    assert ArtifactStore(tmp_path).find("sft", "abc") == path  # looked at before: looked at again
    harm(path)
    assert damage(path) == [fault]
    assert ArtifactStore(tmp_path).find("sft", "abc") is None
    with caplog.at_level(logging.WARNING):
        assert published(tmp_path) == path
    assert f"{path} is damaged: {fault}. It is made again" in caplog.text
    assert damage(path) == [] and (path / "model.safetensors").read_text() == "weights"
    assert (tmp_path / "sft" / "abc.damaged").is_dir()


def test_an_artifact_of_an_older_version_is_taken_with_a_note(tmp_path, caplog):
    path = published(tmp_path)
    write_json(path / "manifest.json", {"metrics": {}})
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert ArtifactStore(tmp_path).find("sft", "abc") == path
    assert caplog.text.count("lists no digests") == 1


@pytest.mark.parametrize("files", [5, [1], {"model.safetensors": 5, "config.json": {"bytes": 2}}])
def test_an_odd_listing_is_damage_and_no_traceback(tmp_path, files):
    path = published(tmp_path)
    odd = read_object(path / "manifest.json") | {"files": files}
    write_json(path / "manifest.json", odd)
    assert damage(path) == [
        "manifest.json is not what was written",
        "config.json was added later",
        "model.safetensors was added later",
    ]
