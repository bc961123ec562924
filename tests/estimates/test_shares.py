"""What one of several devices holds, by hand."""

import pytest

from rlhf.config.compose import compose, validate
from rlhf.estimates.memory import Peak, Term
from rlhf.estimates.passes import Rows
from rlhf.estimates.shares import of_a_machine, peak_of_one, rows_of_one

PEAK = Peak(
    stage="ppo",
    terms=(
        Term("weights that are trained", 800.0),
        Term("adapters and heads that are trained", 24.0),
        Term("the optimizer's moments", 1600.0),
        Term("weights that are frozen", 400.0),
        Term("activations", 100.0),
    ),
    mapped=400.0,
)


def trainer(*overrides):
    return validate(compose(overrides)).trainer


def sizes(peak):
    return [term.size for term in peak.terms]


def test_rows_are_divided_and_networks_are_not_by_ddp():
    four = trainer("trainer=ddp", "trainer.devices=2", "trainer.num_nodes=2")
    assert rows_of_one(Rows(count=10, tokens=7, response=3), four).count == 3
    assert peak_of_one(PEAK, four, 100) == PEAK


@pytest.mark.parametrize(("precision", "policy"), [("bf16-mixed", 200.0), ("32-true", 400.0)])
def test_fsdp_divides_networks_and_puts_the_policy_together(precision, policy):
    four = trainer("trainer=fsdp", "trainer.devices=4", f"trainer.precision={precision}")
    assert sizes(peak_of_one(PEAK, four, 100)) == [200.0, 24.0, 400.0, 100.0, 100.0, policy]


def test_processes_of_one_machine_have_mapped_weights_in_common():
    """2924 bytes, of which 400 are mapped: two more processes take 2 * 2524."""
    assert of_a_machine(PEAK, 1) == PEAK
    more = of_a_machine(PEAK, 3).terms[-1]
    assert (more.name, more.size) == ("2 more processes", 5048.0)
