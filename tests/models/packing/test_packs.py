import pytest
import torch

from rlhf import at_once
from rlhf.at_once import AtOnce
from rlhf.models.packing.packs import in_packs

ATTENTION = torch.arange(6) < torch.tensor([3, 5, 1, 5])[:, None]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, [[1, 3, 0, 2]]),  # the longest first
        ({"rows": 3}, [[1, 3, 0], [2]]),
        ({"tokens": 8}, [[1], [3, 0], [2]]),  # 5, 5 + 3, 1
    ],
)
def test_rows_of_like_length_go_together_and_come_back_in_order(limits, expected):
    read = []

    def squares(index):
        read.append(index.tolist())
        return index**2, -index

    assert [x.tolist() for x in in_packs(squares, ATTENTION, AtOnce(**limits))] == [
        [0, 1, 4, 9],
        [0, -1, -2, -3],
    ]
    assert read == expected


def test_without_limits_a_pack_has_what_is_worth_while(monkeypatch):
    monkeypatch.setattr(at_once, "PACK", 8)
    read = []
    in_packs(lambda index: read.append(index.tolist()) or [index], ATTENTION, AtOnce())
    assert read == [[1], [3, 0], [2]]
