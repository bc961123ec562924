import hashlib
import pickle

import pytest

from rlhf.data.records import DataError, Loaded, Split, TaskData
from tests.turns import demonstration, preference, prompts as questions


def task(completion=" b", margin=None, prompts=("a",)):
    return TaskData(
        demonstrations=Split(train=(demonstration("a", completion),), heldout=()),
        preferences=Split(train=(preference("a", " b", " c", margin=margin),), heldout=()),
        prompts=Split(train=questions(*prompts), heldout=()),
    )


def test_fingerprint_is_sha256_of_canonical_json():
    data = TaskData(
        demonstrations=Split(train=(demonstration("a", "\u00e9"),), heldout=()),
        preferences=None,
        prompts=Split(train=questions("a"), heldout=questions("b")),
    )
    text = (
        '{"continues":false,"demonstrations":{"heldout":[],'
        '"train":[{"completion":"\\u00e9","prompt":[["user","a"]]}]},"preferences":null,'
        '"prompts":{"heldout":[{"reference":null,"turns":[["user","b"]]}],'
        '"train":[{"reference":null,"turns":[["user","a"]]}]}}'
    )
    assert data.fingerprint == hashlib.sha256(text.encode()).hexdigest()


def test_fingerprint_changes_with_every_part_of_the_content():
    same = task().fingerprint
    assert task().fingerprint == same
    others = [
        task(completion=" c"),
        task(margin=0.0),
        task(prompts=("a", "b")),
        TaskData(demonstrations=task().demonstrations, preferences=None, prompts=task().prompts),
        TaskData(
            demonstrations=task().demonstrations,
            preferences=task().preferences,
            prompts=Split(train=(), heldout=questions("a")),
        ),
    ]
    assert len({same, *(other.fingerprint for other in others)}) == 6


@pytest.mark.parametrize(
    ("number", "last"), [(20, "fault 19"), (21, "and 1 more"), (25, "and 5 more")]
)
def test_data_error_shows_twenty_faults_and_counts_the_rest(number, last):
    error = DataError([f"fault {i}" for i in range(number)])
    assert error.faults[:20] == [f"fault {i}" for i in range(20)]
    assert error.faults[-1] == last
    assert str(error).splitlines() == error.faults
    assert pickle.loads(pickle.dumps(error)).faults == error.faults


def test_data_error_takes_one_sentence():
    assert DataError("no file").faults == ["no file"]
    assert isinstance(DataError("no file"), ValueError)


class OneRow:
    """A source whose only rows are held out."""

    def load(self):
        rows = task()
        held = Split(train=(), heldout=rows.demonstrations.train)
        return TaskData(demonstrations=held, preferences=rows.preferences, prompts=rows.prompts)


def test_no_row_is_left_to_train_on():
    with pytest.raises(DataError, match="of 1 demonstrations all are held out, none is left"):
        Loaded.of(OneRow())
