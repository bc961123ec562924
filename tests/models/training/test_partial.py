import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, OPTConfig

from rlhf.arguments import layers_of
from rlhf.models.load import scalar_model_from
from rlhf.models.training.partial import layer_count, layers, part_faults, train_only
from rlhf.rundir.errors import ModelError
from tests.conftest import tiny

SIZES = {"vocab_size": 9, "hidden_size": 8, "num_attention_heads": 2, "max_position_embeddings": 16}
OTHERS = {
    # its final norm is registered before the layers, its embeddings are learned positions too
    "opt": OPTConfig(**SIZES, num_hidden_layers=3, ffn_dim=8, word_embed_proj_dim=8, dropout=0.0),
    "neox": GPTNeoXConfig(**SIZES, num_hidden_layers=3, intermediate_size=8),
    "untied": LlamaConfig(
        **SIZES, num_hidden_layers=3, intermediate_size=8, tie_word_embeddings=False
    ),
}


def trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_parts_by_name():
    assert [layers_of(part) for part in ("all", "head", "last:1", "last:12")] == [None, 0, 1, 12]
    for wrong in ("last", "last:", "last:0", "last:-1", "last:x", "first:2", "last:²", "", "All"):
        with pytest.raises(ValueError, match="expected all, head or last:N"):
            layers_of(wrong)


def test_all_leaves_everything_trained(policy):
    assert trained(train_only(policy, "all")) == {name for name, _ in policy.named_parameters()}


def test_the_head_of_a_reward_model(tokenizer, architecture):
    model = scalar_model_from(tiny(tokenizer, architecture), seed=0).model
    assert trained(train_only(model, "head")) == {"score.weight"}


@pytest.mark.parametrize(
    ("architecture", "layer", "norm"),
    [
        ("llama", "model.layers.1.", {"model.norm.weight"}),
        ("gpt2", "transformer.h.1.", {"transformer.ln_f.weight", "transformer.ln_f.bias"}),
    ],
)
def test_the_last_layer_the_final_norm_and_the_head(tokenizer, architecture, layer, norm):
    model = scalar_model_from(tiny(tokenizer, architecture), seed=0).model
    inside = {name for name, _ in model.named_parameters() if name.startswith(layer)}
    assert inside
    assert trained(train_only(model, "last:1")) == inside | norm | {"score.weight"}


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures(name):
    """Two of three layers. A head of its own is trained; one that is the embedding is not."""
    model = AutoModelForCausalLM.from_config(OTHERS[name])
    behind = {
        "opt": {"model.decoder.final_layer_norm.weight", "model.decoder.final_layer_norm.bias"},
        "neox": {
            *("gpt_neox.final_layer_norm.weight", "gpt_neox.final_layer_norm.bias"),
            "lm_head.weight",
        },
        "untied": {"model.norm.weight", "lm_head.weight"},
    }[name]
    inside = {n for n, _ in model.named_parameters() if ".layers.1." in n or ".layers.2." in n}
    assert trained(train_only(model, "last:2")) == inside | behind
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_step_moves_what_is_trained_and_nothing_else(policy):
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    train_only(policy, "last:1")
    some = [p for p in policy.parameters() if p.requires_grad]
    policy(input_ids=torch.tensor([[1, 2, 3]])).logits.logsumexp(-1).sum().backward()
    torch.optim.SGD(some, lr=1.0).step()
    moved = {n for n, p in policy.named_parameters() if not torch.equal(p, before[n])}
    assert moved == trained(policy)


def test_the_layers_of_a_model(policy):
    assert layers(policy) is policy.model.layers
    assert layer_count(policy.config) == 2
    assert layer_count(None) is None
    policy.config.num_hidden_layers = 5
    with pytest.raises(ModelError, match="no list of 5 layers"):
        layers(policy)


def test_more_layers_than_there_are(policy):
    with pytest.raises(ModelError, match="last:3: the model has 2 layers"):
        train_only(policy, "last:3")
    (fault,) = part_faults("reward_model", "last:3", 2)
    assert fault.startswith("reward_model.trained=last:3: the model has 2 layers; last:2 trains")
    assert part_faults("sft", "last:2", 2) == part_faults("sft", "all", 2) == []
    assert part_faults("sft", "last:9", None) == []
