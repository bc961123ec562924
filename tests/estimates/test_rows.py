from rlhf.data.records import Demonstration, Preference, Split, TaskData
from rlhf.estimates.rows import DataSize, PartSize, size_of


def test_rows_and_characters():
    data = TaskData(
        demonstrations=Split(
            train=(Demonstration(prompt="ab", completion="cdef"),) * 2
            + (Demonstration(prompt="a", completion="bc"),),
            heldout=(Demonstration(prompt="x", completion="y"),),
        ),
        preferences=Split(
            train=(Preference(prompt="abc", chosen="d", rejected="defg"),) * 2,
            heldout=(Preference(prompt="abc", chosen="defg", rejected="x"),),
        ),
        prompts=Split(train=("a", "abc"), heldout=("b",)),
    )
    size = size_of(data)
    assert size.demonstrations == PartSize(train=3, heldout=1, longest=6, mean=5.0)
    assert size.preferences == PartSize(train=2, heldout=1, longest=7, mean=7.0, texts=3)
    assert size.prompts == PartSize(train=2, heldout=1, longest=3, mean=2.0)


def test_a_part_that_is_not_there():
    prompts = Split(train=("a",), heldout=())
    demonstrations = Split(train=(), heldout=())
    data = TaskData(demonstrations=demonstrations, preferences=None, prompts=prompts)
    assert size_of(data) == DataSize(prompts=PartSize(train=1, heldout=0, longest=1, mean=1.0))


def test_tokens():
    """At most one for 3 characters; a mean of one for 4; never more than a stage reads."""
    part = PartSize(train=9, heldout=1, longest=100, mean=40.0)
    assert (part.longest_tokens(512), part.longest_tokens(20)) == (34, 20)
    assert (part.mean_tokens(512), part.mean_tokens(8)) == (10.0, 8)
