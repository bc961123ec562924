"""Columns of one's own, weights, and that every bad row is named with its file and line."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given, settings, strategies as st

from rlhf.data.readers.parts import Place, Reader, columns_fault, renamed, times


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(*places, purpose="demonstrations", **settings):
    reader = Reader(**{"prompt_words": 2, "seed": 0, **settings})
    return reader.read(places, purpose), reader


def test_columns_are_renamed():
    row = {"question": "a", "answer": "b", "prompt": "old", "id": 1}
    named = {"prompt": "a", "completion": "b", "id": 1}
    assert renamed(row, {"prompt": "question", "completion": "answer"}) == named
    # one column for two names, and one that is not to be read
    assert renamed({"a": "x", "label": 1}, {"prompt": "a", "reference": "a", "label": None}) == {
        "prompt": "x",
        "reference": "x",
    }
    assert renamed(row, {}) == row
    # two names that change places
    assert renamed({"chosen": 1, "rejected": 2}, {"chosen": "rejected", "rejected": "chosen"}) == {
        "chosen": 2,
        "rejected": 1,
    }


def test_a_column_that_no_reader_knows():
    assert columns_fault({"prompt": "x", "label": None}) is None
    assert columns_fault({"promt": "x"}).startswith(
        "no reader knows a column promt; did you mean prompt? (known: prompt, chosen,"
    )


def test_a_column_that_no_row_has(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"question": "a b", "answer": "c"}])
    columns = {"instruction": "question", "output": "answr"}
    rows, reader = read(Place(path=path, columns=columns))
    assert rows == []
    assert reader.faults[0] == (
        f"{path}: columns output=answr: no row has answr; did you mean answer?"
    )


def test_each_place_has_columns_of_its_own_beside_the_common_ones(tmp_path):
    one = write(tmp_path / "1.jsonl", [{"q": "a", "output": "b"}])
    two = write(tmp_path / "2.jsonl", [{"q": "c", "reply": "d"}])
    rows, reader = read(
        Place(path=one), Place(path=two, columns={"output": "reply"}), columns={"instruction": "q"}
    )
    assert reader.faults == []
    assert [(row.prompt[0].content, row.completion, row.place) for row in rows] == [
        ("a", "b", f"{one}:1"),
        ("c", "d", f"{two}:1"),
    ]


def test_a_label_that_is_not_to_be_read(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"prompt": "a", "completion": "b", "label": True}])
    assert "KTO" in read(Place(path=path))[1].bad_rows[0]
    assert len(read(Place(path=path), columns={"label": None})[0]) == 1


def test_weights():
    rows = [{"prompt": f"p{i}", "completion": "c"} for i in range(2000)]
    assert {times(row, 2.0, 0) for row in rows} == {2}
    half = [times(row, 0.5, 0) for row in rows]
    # binomial: 1,000 with a standard deviation of 22
    assert set(half) == {0, 1} and 900 < sum(half) < 1100
    assert [times(row, 1.5, 0) for row in rows] == [1 + taken for taken in half]
    assert [times(row, 0.5, 1) for row in rows] != half
    assert [times(row, 0.7, 0) >= taken for row, taken in zip(rows, half, strict=True)]
    # of the row alone, not of the order of its columns
    assert [times(dict(reversed(row.items())), 0.5, 0) for row in rows] == half


def test_weighted_places(tmp_path):
    one = write(tmp_path / "1.jsonl", [{"text": f"one {i}"} for i in range(40)])
    two = write(tmp_path / "2.jsonl", [{"text": f"two {i}"} for i in range(10)])
    rows, reader = read(Place(path=one, weight=0.5), Place(path=two, weight=2.0))
    assert reader.faults == []
    files = [row.file for row in rows]
    assert files.count(two) == 20 and 10 <= files.count(one) <= 30
    assert [row.line for row in rows if row.file == two][:4] == [1, 1, 2, 2]


def test_a_place_that_gives_nothing(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"text": "a b"}])
    seed = next(seed for seed in range(100) if not times({"text": "a b"}, 0.5, seed))
    assert read(Place(path=path, weight=0.5), seed=seed)[1].faults == [
        f"{path}: no row is left: weight 0.5 takes none"
    ]
    path = write(tmp_path / "x.jsonl", [{"text": "a"}, {"text": ""}])
    assert read(Place(path=path))[1].faults == [f"{path}: no row is left: all 2 rows are bad"]


def test_one_format_a_file(tmp_path):
    one = write(tmp_path / "1.jsonl", [{"text": "a b"}, {"prompt": "a", "completion": "b"}])
    two = write(tmp_path / "2.jsonl", [{"prompt": "a", "completion": "b"}])
    rows, reader = read(Place(path=str(tmp_path)))
    assert [row.place for row in rows] == [f"{one}:1", f"{two}:1"]
    assert reader.bad_rows == [
        f"{one}:2: has the format prompt+completion, but line 1 has text: one format a file"
    ]


GOOD = st.fixed_dictionaries({"prompt": st.just("a b"), "completion": st.just(" c\nd")})
BAD = st.sampled_from(
    [
        {"prompt": "", "completion": "c"},
        {"prompt": "a", "completion": " \n "},
        {"prompt": "  ", "completion": ""},
    ]
)


def as_jsonl(rows):
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    return lines.encode(), [*range(1, len(rows) + 1)]


def as_array(rows):
    """A row a line, two lines apart."""
    text = "[\n" + ",\n\n".join(json.dumps(row) for row in rows) + "]"
    return text.encode(), [2 + 2 * i for i in range(len(rows))]


def as_csv(rows):
    """With line ends inside of cells."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["prompt", "completion"])
    lines = []
    for row in rows:
        lines.append(out.getvalue().count("\n") + 1)
        writer.writerow([row["prompt"], row["completion"]])
    return out.getvalue().encode(), lines


def as_parquet(rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue().to_pybytes(), [*range(1, len(rows) + 1)]


WRITERS = {"x.jsonl": as_jsonl, "x.json": as_array, "x.csv": as_csv, "x.parquet": as_parquet}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40, deadline=None)
@given(rows=st.lists(GOOD | BAD, min_size=1, max_size=8), zipped=st.booleans())
def test_every_bad_row_is_named_with_its_file_and_line(tmp_path_factory, name, rows, zipped):
    raw, lines = WRITERS[name](rows)
    zipped = zipped and name != "x.parquet"
    path = tmp_path_factory.mktemp("rows") / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    good, reader = read(Place(path=str(path)))
    bad = [i for i, row in enumerate(rows) if row["completion"] != " c\nd"]
    assert [row.place for row in good] == [
        f"{path}:{lines[i]}" for i in range(len(rows)) if i not in bad
    ]
    assert [fault.rpartition(": ")[0] for fault in reader.bad_rows] == [
        f"{path}:{lines[i]}" for i in bad
    ]
