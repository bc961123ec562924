import hashlib
from dataclasses import asdict, dataclass

from rlhf.digests import digest, file_digest, one_spelling


@dataclass
class Row:
    b: float
    a: str


def test_digest_is_sha256_of_canonical_json():
    assert digest({"b": 1, "a": "ü"}) == hashlib.sha256(b'{"a":"\\u00fc","b":1}').hexdigest()
    assert digest(Row(b=1.5, a="x")) == digest({"a": "x", "b": 1.5})


@dataclass
class Split:
    rows: tuple[Row, ...]
    by: dict[str, Row]


def test_dataclasses_inside_are_written_by_their_fields():
    row = {"a": "x", "b": 1.5}
    split = Split(rows=(Row(b=1.5, a="x"),), by={"k": Row(b=1.5, a="x")})
    assert digest(split) == digest({"by": {"k": row}, "rows": [row]}) == digest(asdict(split))


def test_one_spelling_of_each_number():
    assert one_spelling([1.0, True, "1.0", {"a": 2.5}]) == [1, True, "1.0", {"a": 2.5}]


def test_file_digest(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()
