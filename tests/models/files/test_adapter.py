"""What an adapter's folder tells without torch."""

import json

import pytest

from rlhf.models.files.adapter import (
    Base,
    adapter_facts,
    base_of,
    dtype_of,
    is_adapter,
    is_scalar,
    known_as,
    network_of,
    weights_file,
)
from rlhf.rundir.errors import ModelError


def folder(path, **files):
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def test_whose_weights_are_there(tmp_path):
    adapter = folder(tmp_path / "a", adapter_config={"task_type": "CAUSAL_LM"})
    head = folder(tmp_path / "h", backbone={"base_model_name_or_path": "owner/name"})
    whole = folder(tmp_path / "w", config={})
    assert [is_adapter(each) for each in (adapter, head, whole)] == [True, True, False]
    assert [is_scalar(each) for each in (adapter, head)] == [False, True]
    (tmp_path / "a" / "adapter_config.json").write_text("{")  # damaged: what it holds isn't known
    assert is_adapter(adapter) and not is_scalar(adapter)
    assert weights_file(adapter).name == weights_file(head).name == "adapter_model.safetensors"
    assert weights_file(whole).name == "model.safetensors"


def test_the_network_that_is_named(tmp_path):
    there = folder(tmp_path / "model", config={})
    named = {"base_model_name_or_path": str(there), "revision": None}
    assert base_of(folder(tmp_path / "a", adapter_config=named)) == Base(str(there.resolve()))
    hub = {"base_model_name_or_path": "owner/name", "revision": "v2"}
    base = base_of(folder(tmp_path / "b", backbone=hub))
    assert base == Base("owner/name", "v2") and str(base) == "owner/name@v2"
    with pytest.raises(ModelError, match="names no base_model_name_or_path"):
        base_of(folder(tmp_path / "c", adapter_config={}))
    gone = {"base_model_name_or_path": "/gone/artifacts/backbone/0123"}
    with pytest.raises(ModelError, match="network /gone/artifacts/backbone/0123 .* is not there"):
        base_of(folder(tmp_path / "d", adapter_config=gone))


def test_artifacts_that_have_moved_together(tmp_path):
    """The network is looked for as <artifacts>/<stage>/<fingerprint> beside the adapter's folder,
    and from a run's folder below it."""
    root = tmp_path / "elsewhere" / "outputs"
    network = folder(root / "artifacts" / "backbone" / "0123", config={})
    gone = {"base_model_name_or_path": "/before/outputs/artifacts/backbone/0123"}
    for place in ("artifacts/sft/4567", "study/run/policy"):
        adapter = folder(root / place, adapter_config=gone)
        assert base_of(adapter) == Base(str(network.resolve()))


def test_what_stands_below_a_policy(tmp_path):
    """A policy that was taken as it is is known by the place that it came from."""
    model = folder(tmp_path / "model", config={})
    trained = folder(tmp_path / "trained", config={}, manifest={})
    taken = {"origin": {"trained": False, "path": "model", "folder": str(model)}}
    hub = {"origin": {"trained": False, "path": "owner/name", "content": {"commit": "abc"}}}
    named = {"base_model_name_or_path": str(model)}
    places = {
        folder(tmp_path / "taken", config={}, manifest=taken): Base(str(model)),
        folder(tmp_path / "hub", config={}, manifest=hub): Base("owner/name", "abc"),
        folder(tmp_path / "adapter", adapter_config=named): Base(str(model.resolve())),
        trained: Base(str(trained.resolve())),
    }
    for place, base in places.items():
        assert network_of(place) == base


def test_facts(tmp_path):
    place = folder(
        tmp_path / "a",
        adapter_config={
            "base_model_name_or_path": "owner/name",
            "target_modules": ["v_proj", "q_proj"],
            "r": 4,
            "lora_alpha": 8,
        },
        backbone={"weights_sha256": "ab", "dtype": "bfloat16"},
    )
    assert adapter_facts(place) == {
        "base": "owner/name",
        "base_sha256": "ab",
        "targets": ["q_proj", "v_proj"],
        "r": 4,
        "lora_alpha": 8,
    }
    assert dtype_of(place) == "bfloat16"
    assert dtype_of(folder(tmp_path / "b", adapter_config={})) is None


def test_a_folder_of_the_hubs_cache_has_its_name_there(tmp_path):
    cache, sha = tmp_path / "hub", "0123456789abcdef"
    for name, folder in {"me/net": "models--me--net", "gpt2": "models--gpt2"}.items():
        place = cache / folder / "snapshots" / sha
        assert known_as(Base(str(place)), cache) == Base(name, sha)


def test_any_other_stays_as_it_is(tmp_path):
    cache = tmp_path / "hub"
    for path in (
        "me/net",
        f"{tmp_path}/artifacts/sft/0123456789abcdef",
        f"{tmp_path}/other/models--me--net/snapshots/abc",
        f"{cache}/models--me--net",
        f"{cache}/datasets--me--net/snapshots/abc",
    ):
        assert known_as(Base(path, "main"), cache) == Base(path, "main")
