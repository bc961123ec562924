import math

import pytest

from rlhf.arguments import positive


def test_positive():
    assert positive("target", 2) == 2.0
    for value in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="target must be a finite number above 0"):
            positive("target", value)
