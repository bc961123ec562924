import pytest
import torch

from rlhf.models.packing import layouts
from rlhf.models.packing.layouts import Layout, alike, calls
from rlhf.models.packing.read import logits_at
from tests.models.packing.test_read import of_family, rows


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0, [[2, 5], [0], [4], [1]]),
        (3, [[2, 5], [0, 4], [1]]),  # 5 and 4 have 1 token of padding, 2 would have 3 more
        (4, [[2, 5, 0], [4, 1]]),  # 9, 9 and 5 have 4; 4 and 2 have 2
        (99, [[2, 5, 0, 4, 1]]),
    ],
)
def test_rows_are_grouped_while_their_padding_is_little(most, expected):
    assert alike([5, 2, 9, 0, 4, 9], most) == expected


@pytest.mark.parametrize(("group", "tokens", "runs"), [(0, 8, 2), (3 * 16**2, 10, 1)])
def test_a_small_network_reads_padding_rather_than_more_groups(group, tokens, runs, monkeypatch):
    """Rows of 5 and 3 tokens: 8 of them, or with 2 of padding 10 in one group."""
    monkeypatch.setattr(layouts, "GROUP", group)
    ids = torch.tensor([[0, 0, 7, 8, 9], [1, 2, 3, 4, 5]])
    attention = ids > 0
    keep = torch.zeros_like(attention)
    keep[0, 3:], keep[1, 4] = True, True
    (call,) = calls(Layout.PACKED, ids, attention, keep, hidden=16)
    assert call.named["input_ids"].shape == (1, tokens)
    assert call.named["input_ids"][0, :8].tolist() == [1, 2, 3, 4, 5, 7, 8, 9]
    assert call.named["position_ids"][0, :8].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert len(call.named["lens"].runs) == runs
    # in reading order, though the longer row comes first: the first row's two, then the other's
    assert call.keep.tolist() == [6, 7, 4]


@pytest.mark.parametrize("group", [0.0, 20.0 * 32**2, 1e9])
def test_groups_change_no_logit(group, monkeypatch):
    model, rest = of_family("llama"), rows()
    with torch.no_grad():
        expected = logits_at(model, *rest, Layout.PADDED)
        monkeypatch.setattr(layouts, "GROUP", group)
        assert torch.allclose(logits_at(model, *rest), expected, atol=1e-4)
