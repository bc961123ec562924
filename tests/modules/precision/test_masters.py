"""The float32 weights behind bfloat16 ones, by numbers that both hold exactly."""

import torch
from torch import nn

from rlhf.modules.precision.masters import MasterWeights, to_bfloat16


def one_weight(value=1.0):
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(value)
    return layer


def descend(layer, masters, optimizer):
    """One step along a gradient of 1."""
    optimizer.zero_grad()
    layer(torch.ones(1, 1, dtype=layer.weight.dtype)).sum().backward()
    masters.collect()
    optimizer.step()
    masters.round()


def test_steps_below_the_rounding_add_up():
    """Below 1 bfloat16 has steps of 2^-8. Steps of 2^-10: after one and two the rounding is still 1
    (a tie goes to the even one), after three it is 1 - 2^-8. Without masters it stays 1."""
    layer = one_weight()
    optimizer = torch.optim.SGD(layer.parameters(), lr=2.0**-10)
    masters = MasterWeights(layer)
    masters.take_over(optimizer)
    seen = []
    for _ in range(3):
        descend(layer, masters, optimizer)
        seen.append(layer.weight.item())
    assert layer.weight.dtype == torch.bfloat16
    assert seen == [1.0, 1.0, 1 - 2.0**-8]
    assert [m.item() for m in masters.masters.values()] == [1 - 3 * 2.0**-10]
    masters.release()
    assert layer.weight.dtype == torch.float32 and layer.weight.item() == 1 - 3 * 2.0**-10


def test_gradients_of_micro_batches_add_up_in_float32():
    """1 + 2^-8 + 2^-8 has no bfloat16; there, 1 + 2^-8 is 1."""
    layer = one_weight()
    masters = MasterWeights(layer)
    for part in (1.0, 2.0**-8, 2.0**-8):
        layer.weight.grad = torch.full((1, 1), part, dtype=torch.bfloat16)
        masters.collect()
        assert layer.weight.grad is None
    (master,) = masters.masters.values()
    assert master.grad.item() == 1 + 2.0**-7


def test_moments_are_float32_and_the_groups_keep_their_rates():
    layer, other = one_weight(), one_weight(2.0)
    optimizer = torch.optim.AdamW(
        [{"params": layer.parameters()}, {"params": other.parameters(), "lr": 0.5}], lr=0.25
    )
    masters = MasterWeights(nn.ModuleList([layer, other]))
    masters.take_over(optimizer)
    descend(layer, masters, optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.5]
    (state,) = optimizer.state.values()
    assert state["exp_avg"].dtype == state["exp_avg_sq"].dtype == torch.float32
    assert other.weight.item() == 2.0  # it had no gradient


def test_a_state_that_is_there_from_the_start_goes_with_the_weight():
    """Adagrad begins with sums of squares."""
    layer = one_weight()
    optimizer = torch.optim.Adagrad(layer.parameters(), lr=1.0, initial_accumulator_value=3.0)
    masters = MasterWeights(layer)
    masters.take_over(optimizer)
    descend(layer, masters, optimizer)  # 1 - 1 / sqrt(3 + 1)
    assert layer.weight.item() == 0.5


def test_the_whole_module_is_the_same_weights():
    """Tied weights stay one; a change of the whole is a change of the network once it is
    rounded."""
    pair = nn.ModuleList([one_weight(1.0), one_weight(0.0)])
    pair[1].weight = pair[0].weight
    pair.register_buffer("frequencies", torch.tensor([1 / 3]))
    masters = MasterWeights(pair)
    whole = masters.whole(pair)
    assert whole[0].weight is whole[1].weight and whole[0].weight.dtype == torch.float32
    assert whole.frequencies is pair.frequencies and pair.frequencies.dtype == torch.float32
    with torch.no_grad():
        whole[0].weight.fill_(3.0)
    assert pair[1].weight.item() == 1.0
    masters.round()
    assert pair[1].weight.item() == 3.0


def test_what_keeps_float32_is_left_alone():
    class Adapter(nn.Linear):
        keeps_float32 = True

    both = nn.ModuleList([one_weight(), Adapter(1, 1)])
    to_bfloat16(both)
    assert [p.dtype for p in both.parameters()] == [torch.bfloat16, torch.float32, torch.float32]
