import copy
import logging

import pytest
import torch
from torch.distributed.fsdp import FSDPModule
from transformers import LlamaConfig, LlamaForCausalLM

from rlhf.models.load import scalar_model_from
from rlhf.models.packing.attention import attending
from rlhf.models.packing.choice import layout_of, probed
from rlhf.models.packing.layouts import Layout
from rlhf.models.packing.probe import relative_gap, settle
from rlhf.models.packing.read import logits_at
from tests.models.packing.test_read import of_family


class Whispering(LlamaForCausalLM):
    """Each token's embedding has something of the one before it, wherever that belongs: no row is
    alone but at the beginning of a line of its own."""

    def forward(self, input_ids=None, **named):
        embedded = self.get_input_embeddings()(input_ids)
        before = torch.cat([torch.zeros_like(embedded[:, :1]), embedded[:, :-1]], dim=1)
        return super().forward(inputs_embeds=embedded + 0.5 * before, **named)


class Hearing(LlamaForCausalLM):
    """It reads what comes after as well."""

    def forward(self, input_ids=None, **named):
        embedded = self.get_input_embeddings()(input_ids)
        return super().forward(inputs_embeds=embedded + embedded.mean(1, keepdim=True), **named)


def made(kind):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    torch.manual_seed(0)
    model = kind(LlamaConfig(vocab_size=30, num_attention_heads=2, **sizes)).eval()
    return attending(model, {})


@pytest.mark.parametrize(
    ("kind", "layout", "warnings"),
    [(LlamaForCausalLM, "packed", 0), (Whispering, "chunks", 1), (Hearing, "padded", 2)],
)
def test_what_changes_a_number_is_given_up(kind, layout, warnings, caplog):
    model = made(kind)
    assert layout_of(model) is Layout.PACKED
    with caplog.at_level(logging.WARNING):
        settle(model)
        settle(model)  # asked once
    assert layout_of(model).value == layout_of(copy.deepcopy(model)).value == layout
    assert len(caplog.records) == warnings
    assert all("llama is not read in the layout" in r.getMessage() for r in caplog.records)
    ids = torch.tensor([[3, 4, 5]])
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    assert torch.allclose(
        logits_at(model, ids, everywhere, everywhere), model(input_ids=ids).logits[0], atol=1e-5
    )


def test_networks_of_one_class_are_asked_each_for_itself(caplog):
    """A window, which the class knows nothing of, is no other's."""
    windowed, plain = of_family("mistral"), of_family("mistral", sliding_window=None)
    windowed.set_attn_implementation("rows")
    for model in (windowed, plain):
        settle(model)
    assert probed(windowed) is Layout.CHUNKS and probed(plain) is Layout.PACKED
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("family", "layout"), [("llama", "packed"), ("bloom", "padded")])
def test_networks_in_parts_on_the_ranks_are_read_in_one_pass(family, layout):
    """As many chunks as a rank's rows need would leave the others waiting."""
    model = of_family(family)
    settle(model)
    backbone = model.base_model
    backbone.__class__ = type("InParts", (FSDPModule, type(backbone)), {})  # as torch does it
    assert layout_of(model).value == layout


def test_logits_that_are_all_zero_tell_nothing(caplog):
    model = made(LlamaForCausalLM)
    model.lm_head.weight.data.zero_()
    settle(model)
    assert probed(model) is Layout.PACKED and not caplog.records


def test_the_gap_is_relative_to_the_largest_logit():
    assert relative_gap(made(LlamaForCausalLM), Layout.PACKED) < 1e-5
    assert relative_gap(made(Whispering), Layout.CHUNKS) < 1e-5
    assert relative_gap(made(Whispering), Layout.PACKED) > 1e-2


def test_a_layout_that_fails_is_given_up(caplog):
    """An attention with a window refuses to be read row by row."""
    model = of_family("mistral")
    model.set_attn_implementation("rows")
    assert layout_of(model) is Layout.PACKED
    settle(model)
    assert layout_of(model) is Layout.CHUNKS and "does not take (ValueError)" in caplog.text


def test_a_scalar_models_network_is_probed_by_its_states(policy, caplog):
    model = scalar_model_from(policy, seed=0).network
    assert probed(model) is Layout.PACKED and not caplog.records
    assert relative_gap(model, Layout.PACKED) < 1e-5
