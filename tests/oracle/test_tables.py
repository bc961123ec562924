import math

import pytest
import torch

from rlhf.oracle.exact import optimal_policy
from rlhf.oracle.tables import prefix_tree


def test_by_hand():
    """Token 2 ends: two of 3 tokens have the prefixes "", 0 and 1, and 7 responses."""
    tree = prefix_tree(3, 2, 2)
    assert tree.rows == 3 and tree.tokens.shape == (7, 2)
    rows = dict(zip(map(tuple, tree.tokens.tolist()), tree.prefix.tolist(), strict=True))
    assert rows[(0, 1)] == [0, 1] and rows[(1, 2)] == [0, 2] and rows[(2, 2)] == [0, 0]
    table = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.7, 0.2, 0.1]]).double().log()
    logp = dict(zip(rows, tree.sequence_logp(table).tolist(), strict=True))
    assert logp[(0, 1)] == pytest.approx(math.log(0.5 * 0.6))
    assert logp[(1, 2)] == pytest.approx(math.log(0.3 * 0.1))
    assert logp[(2, 2)] == pytest.approx(math.log(0.2))


@pytest.mark.parametrize("length", [1, 3])
def test_any_distribution_has_its_table(length):
    tree = prefix_tree(4, 3, length)
    generator = torch.Generator().manual_seed(0)
    ref = tree.sequence_logp(torch.randn(tree.rows, 4, generator=generator, dtype=torch.float64))
    reward = torch.randn(len(ref), generator=generator, dtype=torch.float64)
    best, _ = optimal_policy(ref, reward, 0.5)
    torch.testing.assert_close(tree.sequence_logp(tree.table_of(best)), best)
