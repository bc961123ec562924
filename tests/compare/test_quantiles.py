import math
from statistics import NormalDist

import pytest
from scipy import stats

from rlhf.compare.quantiles import (
    chi2_above,
    student,
    student_two_sided,
    studentized_range,
)


@pytest.mark.parametrize("df", [1.0, 1.25, 2.0, 3.75, 9.0, 450.0, 1e4, math.inf])
@pytest.mark.parametrize(("p", "means"), [(0.95, 3), (0.975, 50), (1 - 0.05 / 9, 400)])
def test_the_studentized_range_is_scipys(p, means, df):
    ours, scipys = studentized_range(p, means, df), stats.studentized_range.ppf(p, means, df)
    assert ours == pytest.approx(scipys, rel=1e-8)


def test_the_studentized_range_is_the_tables():
    # Harter (1960), upper 5 %: 3 means and 10 degrees of freedom 3.877, 10 and 20 5.008
    assert studentized_range(0.95, 3, 10) == pytest.approx(3.877, abs=5e-4)
    assert studentized_range(0.95, 10, 20) == pytest.approx(5.008, abs=5e-4)


def test_the_range_of_two_is_sqrt_2_of_students_t():
    for df in (1, 4.5, 30, math.inf):
        two = math.sqrt(2) * student(0.975, df)
        assert studentized_range(0.95, 2, df) == pytest.approx(two, rel=1e-9)


def test_students_t_by_hand():
    # one degree of freedom is Cauchy's: quantile tan(pi (p - 1/2)), tails 1 - 2 atan(t) / pi
    assert student(0.975, 1) == pytest.approx(math.tan(math.pi * 0.475))
    assert student_two_sided(-1.0, 1) == pytest.approx(0.5)
    assert student_two_sided(math.inf, 3) == 0.0
    assert student(0.975, math.inf) == pytest.approx(NormalDist().inv_cdf(0.975))
    assert student(0.975, 7.3) == pytest.approx(stats.t.ppf(0.975, 7.3), rel=1e-12)


def test_chi_squared_of_two_degrees_is_exponential():
    assert chi2_above(3.0, 2) == pytest.approx(math.exp(-1.5))
    assert chi2_above(0.0, 5) == 1.0
