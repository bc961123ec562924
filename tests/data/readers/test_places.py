"""Files, folders, globs, and what `datasets` saves: here in its format, written by pyarrow."""

import json
import sys

import pyarrow as pa
import pytest

from rlhf.data.readers.hub import name_of
from rlhf.data.readers.places import read_place


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def saved(folder, *shards):
    """As `Dataset.save_to_disk` leaves it: streams of arrow, and what is known of them."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{len(shards):05}.arrow" for i in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": name} for name in names]})
    )


def read(place):
    faults: list[str] = []
    return list(read_place(str(place), faults, faults)), faults


def test_a_folder_gives_its_files_by_name(tmp_path):
    write(tmp_path / "b.jsonl", {"a": 2})
    (tmp_path / "a.csv").write_text("a\n1\n")
    for name in ("README.md", ".hidden.jsonl", "dataset_infos.json"):
        (tmp_path / name).write_text("not a row")
    rows = [(str(tmp_path / "a.csv"), 2, {"a": "1"}), (str(tmp_path / "b.jsonl"), 1, {"a": 2})]
    assert read(tmp_path) == (rows, [])


def test_a_folder_without_rows(tmp_path):
    assert read(tmp_path)[1] == [f"{tmp_path}: no file of rows in this folder (it is empty)"]
    (tmp_path / "README.md").touch()
    assert read(tmp_path)[1] == [f"{tmp_path}: no file of rows in this folder (it holds README.md)"]


def test_a_glob(tmp_path):
    for i in (2, 1):
        write(tmp_path / f"part{i}" / "x.jsonl", {"a": i})
    (tmp_path / "part1" / "x.txt").touch()
    assert [row for *_, row in read(tmp_path / "part*" / "x.*")[0]] == [{"a": 1}, {"a": 2}]
    assert [row for *_, row in read(tmp_path / "**" / "*.jsonl")[0]] == [{"a": 1}, {"a": 2}]
    (fault,) = read(tmp_path / "part?" / "*.csv")[1]
    assert fault.startswith(f"{tmp_path}/part?/*.csv: no file of rows matches (.jsonl, .json,")


def test_a_file_whose_name_looks_like_a_glob(tmp_path):
    write(tmp_path / "x[1].jsonl", {"a": 1})
    assert [row for *_, row in read(tmp_path / "x[1].jsonl")[0]] == [{"a": 1}]


def test_a_saved_data_set(tmp_path):
    saved(tmp_path / "set", [{"a": 1}, {"a": 2}], [{"a": 3}])
    (tmp_path / "set" / "cache-1.arrow").write_bytes(b"of a map(), not among its files")
    rows, faults = read(tmp_path / "set")
    assert faults == []
    assert [(line, row["a"]) for _, line, row in rows] == [(1, 1), (2, 2), (1, 3)]
    assert rows[0][0] == str(tmp_path / "set" / "data-00000-of-00002.arrow")


def test_splits_are_named(tmp_path):
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["test", "train"]}')
    assert read(tmp_path)[1] == [f"{tmp_path}: dataset_dict.json is there, and no split beside it"]
    saved(tmp_path / "train", [{"a": 1}])
    assert [row for *_, row in read(tmp_path)[0]] == [{"a": 1}]
    saved(tmp_path / "test", [{"a": 2}])
    assert read(tmp_path) == (
        [],
        [
            f"{tmp_path}: a data set of 2 splits; name one of them: {tmp_path / 'test'},"
            f" {tmp_path / 'train'}"
        ],
    )


def test_a_damaged_saved_set(tmp_path):
    saved(tmp_path / "set", [{"a": 1}])
    state = tmp_path / "set" / "state.json"
    state.write_text('{"_data_files": [{"filename": "gone.arrow"}]}')
    (fault,) = read(tmp_path / "set")[1]
    assert fault.startswith(f"{tmp_path / 'set' / 'gone.arrow'}: no such file")
    for text in ("{}", "[]", "{", '{"_data_files": 3}'):
        state.write_text(text)
        assert read(tmp_path / "set")[1] == [f"{state}: not as `datasets` writes it"]
    state.write_text('{"_data_files": [], "_indices_data_files": [{"filename": "i.arrow"}]}')
    (fault,) = read(tmp_path / "set")[1]
    assert "flatten_indices()" in fault


def test_a_name_of_the_hub_is_written_with_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (fault,) = read("trl-lib/tldr")[1]
    assert fault == (
        f'trl-lib/tldr: no "trl-lib" in {tmp_path}; a data set of the hub is written'
        " hub:trl-lib/tldr"
    )
    assert "hub:" not in read("trl-lib/tldr.jsonl")[1][0]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("hub:imdb", ("imdb", None, "train")),
        ("hub:trl-lib/tldr", ("trl-lib/tldr", None, "train")),
        ("hub:trl-lib/tldr:test", ("trl-lib/tldr", None, "test")),
        ("hub:openai/gsm8k/main:test[:50]", ("openai/gsm8k", "main", "test[:50]")),
    ],
)
def test_names_of_the_hub(place, name):
    assert name_of(place) == name


@pytest.mark.parametrize("place", ["hub:", "hub:a/", "hub:a/b/c/d", "hub:a/b:"])
def test_wrong_names_of_the_hub(place):
    assert read(place) == (
        [],
        [f"{place}: write hub:owner/name, hub:owner/name:split or hub:owner/name/config:split"],
    )


def test_without_the_package_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # an import of it fails
    assert read("hub:trl-lib/tldr") == (
        [],
        [
            "hub:trl-lib/tldr: sets of the hub are read by the package datasets, which is not"
            " installed: pip install 'rlhf[datasets]', or give a file"
        ],
    )


def test_a_hub_that_is_out_of_reach(monkeypatch):
    pytest.importorskip("datasets", reason="the extra datasets is not installed")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    rows, (fault,) = read("hub:trl-lib/no-such-set-of-ours")
    assert rows == []
    assert fault.startswith("hub:trl-lib/no-such-set-of-ours: cannot be got from the hub (")
    assert "\n" not in fault


def test_what_the_package_saves_is_read(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the extra datasets is not installed")
    rows = [{"prompt": f"p{i}", "completion": f" c{i}"} for i in range(5)]
    whole = datasets.Dataset.from_list(rows)
    whole.select([3, 1]).save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": whole}).save_to_disk(tmp_path / "dict")
    assert [row for *_, row in read(tmp_path / "one")[0]] == [rows[3], rows[1]]
    assert [row for *_, row in read(tmp_path / "dict")[0]] == rows
