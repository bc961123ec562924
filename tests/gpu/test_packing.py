"""Rows behind one another on a GPU, where one kernel reads them all, against the padded layout."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rlhf.models.packing.attention import attending, has_varlen
from rlhf.models.packing.choice import layout_of
from rlhf.models.packing.layouts import Layout
from rlhf.models.packing.read import logits_at
from tests.models.packing.test_read import gradients, rows

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize("keys", [2, 4])  # heads of keys for four of queries
@pytest.mark.parametrize("mixed", [True, False])
def test_packed_rows_are_the_padded_ones(keys, mixed):
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": keys}
    torch.manual_seed(0)
    exact = LlamaForCausalLM(LlamaConfig(vocab_size=40, **sizes, **heads)).eval()
    rest = rows()
    expected = logits_at(exact, *rest, Layout.PADDED)
    along = torch.cat([g.flatten() for g in gradients(exact, expected.square().mean())])
    model = attending(exact, {}).cuda()
    assert layout_of(model) is Layout.CHUNKS  # in 32 bits
    model = model if mixed else model.to(torch.bfloat16)
    gaps, turns = [], []
    with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
        assert layout_of(model) is (Layout.PACKED if has_varlen() else Layout.CHUNKS)
        for layout in (layout_of(model), Layout.PADDED):
            logits = logits_at(model, *(x.cuda() for x in rest), layout)
            gaps.append(float((logits.float().cpu() - expected).abs().mean()))
            own = gradients(model, logits.float().square().mean())
            own = torch.cat([g.float().flatten().cpu() for g in own])
            turns.append(float(torch.cosine_similarity(own, along, dim=0)))
    assert gaps[0] <= 1.5 * gaps[1]
    assert min(turns) > 0.99
