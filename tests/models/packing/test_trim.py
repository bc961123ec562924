import pytest
import torch

from rlhf.models.load import scalar_model_from
from rlhf.models.packing.layouts import Layout
from rlhf.models.packing.read import logits_at
from rlhf.models.training.recompute import recomputed
from tests.models.packing.test_read import of_family, rows

MLPS = {"llama": "model.layers.1.mlp", "gpt2": "transformer.h.1.mlp"}


@pytest.mark.parametrize("kind", MLPS)
def test_the_last_mlp_reads_what_is_wanted_alone(kind):
    """21 positions of rows with 39 tokens. A pass that wants all of them is whole again."""
    model, (tokens, attention, keep) = of_family(kind), rows()
    read = list[int]()
    inside = next(model.get_submodule(MLPS[kind]).children())
    inside.register_forward_hook(lambda module, given, made: read.append(made[..., 0].numel()))
    with torch.no_grad():
        logits_at(model, tokens, attention, keep)
        logits_at(model, tokens, attention, attention)
        logits_at(model, tokens, attention, keep, Layout.PADDED)
        model(input_ids=tokens)
    assert read[0] == keep.sum() == 21
    assert read[1] >= attention.sum() and read[2:] == [65, 65]


def test_so_do_the_last_queries_and_what_attention_gives():
    """Keys and values of all tokens are needed, and whole in the layers before."""
    model, (tokens, attention, keep) = of_family("llama"), rows()
    read = dict[str, int]()
    for layer in (0, 1):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            part = model.model.layers[layer].self_attn.get_submodule(name)
            part.register_forward_pre_hook(
                lambda module, given, at=f"{layer}.{name}": read.update({at: given[0].shape[1]})
            )
    with torch.no_grad():
        logits_at(model, tokens, attention, keep)
    needed = read["0.q_proj"]
    assert (read["1.q_proj"], read["1.o_proj"]) == (21, 21)
    assert needed > 21 and {n for at, n in read.items() if at[2:] not in ("q_proj", "o_proj")} == {
        needed
    }


def test_so_does_that_of_a_scalar_model_which_is_made_of_a_policy():
    """Values of 21 positions."""
    scalar, (tokens, attention, _) = scalar_model_from(of_family("llama"), seed=0), rows()
    read = list[int]()
    inside = scalar.network.get_submodule(MLPS["llama"]).gate_proj
    inside.register_forward_hook(lambda module, given, made: read.append(made[..., 0].numel()))
    scalar.values(tokens, attention, 7)
    assert read == [21]


def test_a_backward_pass_that_comes_later_computes_its_own_again():
    """Whatever was read in between."""
    model, rest = of_family("llama"), rows()
    plain = logits_at(model, *rest).square().sum()
    expected = torch.autograd.grad(plain, [*model.parameters()])
    with recomputed(model):
        loss = logits_at(model, *rest).square().sum()
    with torch.no_grad():
        logits_at(model, *rest, Layout.PADDED)
    for own, other in zip(torch.autograd.grad(loss, [*model.parameters()]), expected, strict=True):
        assert torch.allclose(own, other, atol=1e-5, rtol=1e-4)
