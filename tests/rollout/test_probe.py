import logging
from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlhf.at_once import AtOnce
from rlhf.models.load import without_dropout
from rlhf.models.policy import PolicyReader
from rlhf.randomness import generator
from rlhf.rollout.counts import FirstWarning
from rlhf.rollout.engines.base import Sampling, Stops
from rlhf.rollout.engines.hf import HFEngine
from rlhf.rollout.engines.torch import TorchEngine
from rlhf.rollout.probe import computed_in, logp_gap, probe, probe_prompts, sampler_gaps
from rlhf.rundir.errors import ModelError
from tests.conftest import tiny
from tests.turns import engine as engine_of, prompt_batch

VOCABULARY = 40
IDS = torch.arange(3, VOCABULARY)
LLAMA_LIKE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
SOUND = {
    "gpt_neox": LLAMA_LIKE,
    "qwen3": {**LLAMA_LIKE, "num_key_value_heads": 1, "head_dim": 8},
    "opt": {"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    | {"word_embed_proj_dim": 16},
}
UNSOUND = {
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    "rwkv": {"hidden_size": 16, "num_hidden_layers": 2, "attention_hidden_size": 16},
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32},
}


def model_of(kind, settings, scale=4.0):
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    config = AutoConfig.for_model(kind, vocab_size=VOCABULARY, **settings, **ids)
    torch.manual_seed(0)
    model = without_dropout(AutoModelForCausalLM.from_config(config))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale) if parameter.ndim > 1 else None
    return model


@pytest.mark.parametrize("kind", SOUND)
def test_sampler_is_policy_of_models_that_are_accepted(kind):
    model = model_of(kind, SOUND[kind])
    assert max(sampler_gaps(TorchEngine(model, Stops(ids=(1,)), 0), model, IDS)) < 1e-5
    probe(TorchEngine(model, Stops(ids=(1,)), 0), model, IDS)


@pytest.mark.parametrize("kind", UNSOUND)
def test_sampler_is_policy_or_the_model_is_refused_with_the_difference(kind):
    model = model_of(kind, UNSOUND[kind])
    with pytest.raises(ModelError, match=rf"type {kind} .* by up to [\d.]+ nats a token"):
        probe(TorchEngine(model, Stops(ids=(1,)), 0), model, IDS)


@pytest.mark.parametrize(("kind", "passes"), [("mamba", True), ("xlnet", False)])
def test_the_refusal_names_the_other_engine_if_it_would_do(kind, passes):
    model = model_of(kind, UNSOUND[kind])
    ours, theirs = (engine(model, Stops(ids=(1, 5, 9)), 0) for engine in (TorchEngine, HFEngine))
    with pytest.raises(ModelError) as refusal:
        probe(ours, model, IDS, theirs)
    assert ("generation.engine=hf" in str(refusal.value)) == passes
    if passes:
        probe(theirs, model, IDS)


def test_a_model_that_cannot_be_sampled_at_all(policy):
    class NeedsMore:
        def respond(self, prompts, sampling, generator):
            raise TypeError("forward() got an unexpected keyword argument 'position_ids'")

    with pytest.raises(ModelError, match="type llama cannot be sampled here: TypeError: forward"):
        probe(NeedsMore(), policy, IDS)


def test_a_prompts_padding_is_asked_too(tokenizer):
    """GPT-2 that numbers the pads: sampling and training agree with each other, and both are
    wrong."""
    model = tiny(tokenizer, "gpt2")
    model.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {**kwargs, "position_ids": None}), with_kwargs=True
    )
    engine = engine_of(model, tokenizer)
    with pytest.raises(ModelError, match="otherwise when it is padded on the left"):
        probe(engine, model, torch.arange(3, len(tokenizer)))


def test_prompts_of_the_probe_fit_the_model():
    prompts = probe_prompts(IDS, None)
    assert prompts.mask.sum(1).tolist() == [1, 2, 3, 5, 8]
    assert prompts.mask[:, -1].all() and torch.isin(prompts.tokens, IDS).all()
    assert probe_prompts(IDS, 6).mask.sum(1).tolist() == [1, 2, 3, 3, 3]


def test_the_probe_of_a_model_with_few_positions():
    model = model_of("gpt2", {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 4})
    probe(TorchEngine(model, Stops(ids=(1,)), 0), model, IDS)


def drawn(policy, tokenizer, **settings):
    sampling = Sampling(max_new_tokens=6, **settings)
    engine = engine_of(policy, tokenizer)
    prompts = prompt_batch(tokenizer, ["a b c", "d"])
    rollout = engine.respond(prompts, sampling, generator(0, "test"))
    reader = PolicyReader(model=policy, temperature=sampling.temperature, at_once=AtOnce(rows=2))
    return rollout, reader.logp(rollout), sampling


def test_sampler_is_policy_in_every_rollout(policy, tokenizer, caplog):
    rollout, logp, sampling = drawn(policy, tokenizer, temperature=0.7)
    right = logp_gap(rollout, logp, sampling)
    assert right["rollout/logp_gap"] < 1e-5 and right["rollout/logp_off"] == 0
    off = replace(rollout, logp=rollout.logp - 0.25 * rollout.mask)
    wrong = logp_gap(off, logp, sampling)
    assert (
        wrong["rollout/logp_gap"] == pytest.approx(0.25, abs=1e-5)
        and wrong["rollout/logp_off"] == 1
    )
    assert computed_in(policy) == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):  # of one token 0.25 is rounding there
        narrow = computed_in(policy)
    one = rollout.logp.clone()
    one[0, 0] -= 0.25
    small = logp_gap(replace(rollout, logp=one), logp, sampling, narrow)
    assert small["rollout/logp_off"] == 0
    mean = 0.25 / int(rollout.mask.sum())
    assert small["rollout/logp_gap_mean"] == pytest.approx(mean, abs=1e-5)
    assert logp_gap(off, logp, sampling, narrow)["rollout/logp_off"] == 1  # of all it is none
    policy.get_input_embeddings().bfloat16()  # as a backbone below adapters of 32 bits
    assert computed_in(policy) == torch.bfloat16
    warn = FirstWarning()
    with caplog.at_level(logging.WARNING):
        for record in (right, wrong, wrong):
            warn(record, "ppo, iteration 1")
    assert caplog.text.count("rollout/logp_off") == 1


def test_there_is_no_gap_to_measure_where_the_draws_are_cut(policy, tokenizer):
    assert logp_gap(*drawn(policy, tokenizer, top_k=3)) == {}
    assert logp_gap(*drawn(policy, tokenizer, top_p=0.5)) == {}
