from hypothesis import given, strategies as st
from torch import tensor

from rlhf.functional.sequences import last_index, positions, response_mask


def test_response_mask_by_hand() -> None:
    tokens = tensor([[5, 2, 7, 2], [2, 2, 2, 2], [5, 6, 7, 8], [5, 3, 2, 9]])
    assert response_mask(tokens, 2).long().tolist() == [
        [1, 1, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 1, 1],
        [1, 1, 1, 0],
    ]
    assert response_mask(tokens, [2, 3]).long().tolist()[3] == [1, 1, 0, 0]
    assert response_mask(tokens, ()).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(0, 4))
def test_mask_after_eos_ignores_what_follows(row: list[int], filler: int) -> None:
    mask = response_mask(tensor([row]), 0)[0].tolist()
    length = row.index(0) + 1 if 0 in row else len(row)
    assert mask == [i < length for i in range(len(row))]
    changed = row[:length] + [filler] * (len(row) - length)
    assert response_mask(tensor([changed]), 0)[0].tolist() == mask


def test_pad_equals_eos() -> None:
    distinct, same = tensor([[5, 2, 9, 9]]), tensor([[5, 2, 2, 2]])
    assert (
        response_mask(distinct, 2).tolist()
        == response_mask(same, 2).tolist()
        == [[True, True, False, False]]
    )


def test_pad_side() -> None:
    mask = tensor([[False, False, True, True, True], [True, True, True, True, True]])
    assert positions(mask).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]


def test_last_index() -> None:
    mask = tensor([[True, True, False], [True, True, True], [False, False, False]])
    assert last_index(mask).tolist() == [1, 2, -1]
    assert last_index(mask[:, :0]).tolist() == [-1, -1, -1]
