import hashlib
from dataclasses import asdict, dataclass

from rlhf.data.conversations import Prompt, Turn
from rlhf.data.records import Split
from rlhf.digests import digest, file_digest, one_spelling


@dataclass
class Row:
    b: float
    a: str


def test_digest_is_sha256_of_canonical_json():
    assert digest({"b": 1, "a": "ü"}) == hashlib.sha256(b'{"a":"\\u00fc","b":1}').hexdigest()
    assert digest(Row(b=1.5, a="x")) == digest({"a": "x", "b": 1.5})


def test_the_digest_of_rows_is_that_of_their_fields():
    """Dataclasses and named tuples in a dataclass, at any depth: as `dataclasses.asdict` has it."""
    split = Split(train=(Prompt(turns=(Turn("user", "a"),), reference=None),), heldout=())
    plain = {"train": [{"turns": [["user", "a"]], "reference": None}], "heldout": []}
    assert digest(split) == split.fingerprint == digest(plain)
    assert digest(split) == digest(asdict(split))


def test_one_spelling_of_each_number():
    assert one_spelling([1.0, True, "1.0", {"a": 2.5}]) == [1, True, "1.0", {"a": 2.5}]


def test_file_digest(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()
