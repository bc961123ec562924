from rlhf.at_once import AtOnce, balanced, micro_batches


def test_longest_rows_go_first_to_the_lightest_group():
    """By hand: 9 | 7, then 6 onto the 7 (13), 5 onto the 9 (14), 2 onto the 13, 1 onto the 14."""
    assert balanced([1, 7, 6, 9, 5, 2], 2) == [[0, 3, 4], [1, 2, 5]]
    assert balanced([5, 5, 5], 2, rows=2) == [[0, 2], [1]]
    assert balanced([9, 1, 1, 1], 2, rows=2) == [[0, 3], [1, 2]]  # else 9 | 1 1 1
    assert balanced([3], 3) == [[0], [], []]


def test_micro_batches_of_all_steps_are_the_fewest_that_fit():
    """At 12 tokens the first step (44) needs four of 11; the second, which would fit two, has four
    too. Two ranks have two each."""
    steps = [[2, 3, 4, 5, 6, 7, 8, 9], [6, 5, 4, 3]]
    for ranks in (1, 2):
        groups = micro_batches(steps, AtOnce(tokens=12), ranks)
        assert groups == [[[0, 7], [1, 6], [2, 5], [3, 4]], [[0], [1], [2], [3]]]
    assert micro_batches([[9, 1]], AtOnce(tokens=3)) == [[[0], [1]]]  # one row at least
    assert micro_batches([[1, 1, 1]], AtOnce(rows=2)) == [[[0, 2], [1]]]
    assert micro_batches([[1]], AtOnce(), ranks=3) == [[[0], [], []]]


def test_limits_of_several_networks():
    """Two networks' numbers of half the rows are as many as one's of all, rounded down."""
    assert AtOnce(rows=5).shared_by(2) == AtOnce(rows=2)
    assert AtOnce(tokens=64, rows=1).shared_by(2) == AtOnce(tokens=32, rows=1)
    assert AtOnce().shared_by(2) == AtOnce()
    assert AtOnce().shared_by(2, rows=16) == AtOnce(rows=8)
    assert AtOnce(tokens=64).shared_by(2, rows=16) == AtOnce(tokens=32)
