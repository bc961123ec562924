import pytest
import torch
from torch import nn
from transformers import OPTConfig, OPTForCausalLM, XLNetConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf.models.load import scalar_model_from, without_dropout
from rlhf.models.policy import response_logits
from rlhf.models.training.recompute import recompute_faults, recomputed
from rlhf.rundir.errors import ModelError
from tests.conftest import tiny

IDS = torch.arange(3, 15).view(3, 4)
MASK = torch.ones_like(IDS, dtype=torch.bool)


def layers(model):
    return [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]


def passes(model):
    """How often the attention of each layer was computed."""
    counts = [0] * len(layers(model))
    for i, layer in enumerate(layers(model)):
        inner = next(m for name, m in layer.named_children() if "attn" in name)
        inner.register_forward_pre_hook(
            lambda *_, i=i: counts.__setitem__(i, counts[i] + 1), with_kwargs=True
        )
    return counts


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return [None if p.grad is None else p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("scalar", [False, True])
def test_layers_are_computed_again_and_gradients_are_the_same(tokenizer, architecture, scalar):
    model = tiny(tokenizer, architecture)
    if scalar:
        model = scalar_model_from(model, seed=0)
    counts = passes(model)

    def loss():
        read = model(IDS, MASK) if scalar else response_logits(model, IDS, MASK, 3).log_softmax(-1)
        return read.square().sum()

    plain = gradients(model, loss())
    assert set(counts) == {1}
    with recomputed(model):
        kept = loss()
    assert set(counts) == {2}  # the backward pass is still to come
    again = gradients(model, kept)
    assert set(counts) == {3}
    for one, other in zip(plain, again, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


def test_all_is_as_before_afterwards(tokenizer):
    model = tiny(tokenizer)
    before = [dict(vars(layer)) for layer in layers(model)]
    with pytest.raises(RuntimeError, match="mine"), recomputed(model):
        raise RuntimeError("mine")
    assert [dict(vars(layer)) for layer in layers(model)] == before
    assert not any(m.training for m in model.modules())
    counts = passes(model)
    with torch.no_grad():  # generation and reading keep their cache
        assert model(input_ids=IDS, use_cache=True).past_key_values is not None
    assert set(counts) == {1}


def test_no_dropout_begins():
    """OPT's layers drop states out by a number of their own, which training mode would switch
    on."""
    sizes = {"vocab_size": 20, "hidden_size": 16, "ffn_dim": 16, "word_embed_proj_dim": 16}
    config = OPTConfig(**sizes, num_hidden_layers=2, num_attention_heads=2, dropout=0.5)
    model = without_dropout(OPTForCausalLM(config))
    plain = gradients(model, model(input_ids=IDS).logits.square().sum())
    with recomputed(model):
        loss = model(input_ids=IDS).logits.square().sum()
    for one, other in zip(plain, gradients(model, loss), strict=True):
        assert one is None or torch.equal(one, other)


class Network(nn.Module):
    """A role whose layers belong to another module, as adapters' roles do."""

    def __init__(self, network):
        super().__init__()
        self.__dict__["network"] = network
        self.entered = []

    def checkpoint_context_fn(self):
        return self._around("forward"), self._around("again")

    def _around(self, what):
        from contextlib import contextmanager

        @contextmanager
        def around():
            self.entered.append(what)
            yield

        return around()


def test_a_role_says_what_its_layers_need_around_them(tokenizer):
    network = tiny(tokenizer)
    role = Network(network)
    with recomputed(role):
        loss = network(input_ids=IDS).logits.square().sum()
    count = len(layers(network))
    assert role.entered == ["forward"] * count
    loss.backward()
    assert role.entered == ["forward"] * count + ["again"] * count


def test_models_without_such_layers_are_refused(tokenizer):
    with pytest.raises(ModelError, match="a Linear has no layers that can be computed again"):
        recomputed(nn.Linear(2, 2)).__enter__()
    assert recompute_faults(tiny(tokenizer).config) == []
    small = XLNetConfig(vocab_size=20, d_model=16, n_layer=1, n_head=2, d_inner=16)
    (fault,) = recompute_faults(small)
    assert fault.startswith("trainer.gradient_checkpointing=true: a XLNetLMHeadModel has no layers")
