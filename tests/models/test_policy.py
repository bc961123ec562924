import copy
from dataclasses import dataclass, replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from rlhf.at_once import AtOnce
from rlhf.data.tokenizers import word_level
from rlhf.functional import vocabulary
from rlhf.functional.kl import exact
from rlhf.functional.logprobs import entropy, token_logp
from rlhf.models.packing.read import logits_at
from rlhf.models.policy import PolicyReader, policy_of, response_logits
from rlhf.oracle import enumerate_rollout
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling
from rlhf.rundir.errors import ModelError
from rlhf.types import PromptBatch
from tests.conftest import tiny
from tests.turns import engine as engine_of, prompt_batch, prompts


def test_pad_side(tokenizer, architecture):
    """Padding the prompt on the left by any amount changes no log-probability."""
    model = tiny(tokenizer, architecture)
    row = torch.tensor([[3, 4, 5, 6, 7]])
    plain = response_logits(model, row, torch.ones(1, 5, dtype=torch.bool), 3)
    for amount in (1, 4):
        padded = torch.cat([torch.zeros(1, amount, dtype=torch.long), row], dim=1)
        mask = torch.cat(
            [torch.zeros(1, amount, dtype=torch.bool), torch.ones(1, 5, dtype=torch.bool)], dim=1
        )
        assert torch.allclose(response_logits(model, padded, mask, 3), plain, atol=1e-5)


def test_logits_predict_the_response_from_what_stands_before(policy):
    row, mask = torch.tensor([[3, 4, 5, 6]]), torch.ones(1, 4, dtype=torch.bool)
    got = token_logp(response_logits(policy, row, mask, 2), row[:, 2:])
    whole = policy(input_ids=row).logits.log_softmax(-1)
    assert torch.allclose(got, torch.stack([whole[:, 1, 5], whole[:, 2, 6]], dim=1), atol=1e-6)


def listed():
    """All 13 responses of three tokens at most to one prompt, vocabulary 3."""
    ids = torch.tensor([[2, 1]])
    prompt = PromptBatch(
        tokens=ids, mask=torch.ones_like(ids, dtype=torch.bool), prompts=prompts(*("c b",))
    )
    return enumerate_rollout(prompt, 3, 0, 3)


def test_a_reader_gives_the_log_probabilities_at_its_temperature(policy):
    rollout = listed()
    reader = PolicyReader(model=policy, temperature=0.5, at_once=AtOnce(rows=4))
    logits = response_logits(policy, rollout.sequence, rollout.attention, 3)
    by_hand = (logits / 0.5).log_softmax(-1).gather(2, rollout.tokens[..., None]).squeeze(2)
    logp = reader.logp(rollout)
    assert torch.allclose(logp, by_hand.masked_fill(~rollout.mask, 0.0), atol=1e-5)
    assert not logp.requires_grad and reader.predictions(rollout).requires_grad
    assert torch.allclose(replace(reader, at_once=AtOnce(rows=15)).logp(rollout), logp, atol=1e-6)


@dataclass(frozen=True, kw_only=True)
class WithoutAdapter(PolicyReader):
    """A reference that is no network of its own: the policy's, with a part of it switched off."""

    def predictions(self, rollout):
        head = self.model.get_output_embeddings()
        weight, head.weight.data = head.weight.data, torch.zeros_like(head.weight)
        logits = super().predictions(rollout)
        head.weight.data = weight
        return logits


def test_a_reference_may_be_the_policys_own_network(policy):

    rollout = listed()
    reader = PolicyReader(model=policy, temperature=1.0, at_once=AtOnce(rows=8))
    view = reader.view(WithoutAdapter(**vars(reader)), rollout)
    uniform = -torch.log(torch.tensor(float(policy.config.vocab_size)))
    assert torch.allclose(view.ref_logp, uniform * rollout.mask, atol=1e-5)
    # a pass of the view has half as many rows, and a product of other sizes rounds otherwise
    assert torch.allclose(view.logp, reader.logp(rollout), atol=1e-6)


class AsLarge(TorchDispatchMode):
    """Counts the tensors that operations made with a storage of so many elements or more."""

    def __init__(self, elements):
        super().__init__()
        self.elements, self.seen = elements, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor) and x.untyped_storage().size() >= 4 * self.elements:
                self.seen.setdefault(x.untyped_storage().data_ptr(), x)
        return result


def test_a_reading_makes_logits_once_and_no_copy(monkeypatch):
    """Of policy and reference what their heads give, in a training pass the policy's alone, which
    the backward pass writes the gradient over."""
    monkeypatch.setattr(vocabulary, "BLOCK", 2**8)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = LlamaConfig(vocab_size=2000, num_attention_heads=2, **sizes)
    model, other = LlamaForCausalLM(config).eval(), LlamaForCausalLM(config).eval()
    rollout, size = listed(), 2000
    reader, reference = (
        PolicyReader(model=m, temperature=0.7, at_once=AtOnce(rows=64)) for m in (model, other)
    )
    elements = int(rollout.mask.sum()) * size
    with AsLarge(elements) as reading:
        reader.view(reference, rollout)
    assert len(reading.seen) == 2
    with AsLarge(elements) as training:
        read = reader.read(rollout, entropy=True)
    assert len(training.seen) == 1
    with AsLarge(elements) as backward:
        (read.logp.sum() + 0.01 * read.entropy.sum()).backward()
    assert set(backward.seen) == set(training.seen)


# --- policies


def matrix_products(model, grad, whole):
    """The kernels that a reading of responses calls."""
    ids = torch.arange(3, 9).repeat(4, 2)
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    with torch.profiler.profile() as profile, torch.set_grad_enabled(grad):
        if whole:
            response_logits(model, ids, everywhere, 5)
        else:
            logits_at(model, ids, everywhere, (torch.arange(12) > 5).expand(4, 12))
    return [e.name for e in profile.events() if e.name in ("aten::mm", "aten::bmm", "aten::addmm")]


@pytest.mark.parametrize("whole", [True, False])
def test_trained_and_frozen_weights_take_one_path(tokenizer, architecture, whole):
    """A head on a slice of the hidden states is one product where its weight needs a gradient, and
    one for each row where it does not, unless the slice is contiguous."""
    policy = policy_of(tiny(tokenizer, architecture), tokenizer)
    frozen = copy.deepcopy(policy).requires_grad_(False)
    paths = [matrix_products(m, grad, whole) for m in (policy, frozen) for grad in (True, False)]
    assert paths[0] and all(path == paths[0] for path in paths)


def test_ids_without_text_are_no_part_of_a_policy(tokenizer):
    """A head of 9 ids more than the tokenizer: gone from sampling, log-probabilities, entropy and
    KL."""
    words = word_level(["a"])
    assert len(words) < len(tokenizer)
    model = policy_of(tiny(tokenizer), words)
    ids = torch.tensor([[3, 3, 3]])
    logits = response_logits(model, ids, torch.ones_like(ids, dtype=torch.bool), 2)
    assert logits.shape == (1, 2, len(words))
    engine = engine_of(model, words)
    prompts = prompt_batch(words, ["a"] * 64)
    rollout = engine.respond(prompts, Sampling(max_new_tokens=6), generator(0, "test"))
    assert int(rollout.tokens.max()) < len(words)
    reader = PolicyReader(model=model, temperature=1.0, at_once=AtOnce(rows=64))
    assert torch.allclose(reader.logp(rollout), rollout.logp, atol=1e-5)
    assert len(model.get_output_embeddings().weight) == len(tokenizer)  # what is saved is whole


def test_gaps_of_a_tokenizer_have_no_probability(tokenizer):
    """Ids 3 and 5 of 0 to 6 have no text: KL and entropy are over the other five, and so are their
    gradients."""

    class Gaps:
        pad_token = None

        def get_vocab(self):
            return {"<pad>": 0, "<eos>": 1, "a": 2, "b": 4, "c": 6}

    policy, other = (policy_of(tiny(tokenizer, seed=seed), Gaps()) for seed in (0, 1))
    ids = torch.tensor([[2, 4, 6]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    logits, ref_logits = (response_logits(model, ids, mask, 2) for model in (policy, other))
    kept = [0, 1, 2, 4, 6]
    assert logits.shape == (1, 2, 7) and (logits[..., [3, 5]] == -torch.inf).all()
    for function in (exact, lambda x, y: entropy(x)):
        whole = function(logits, ref_logits)
        assert torch.allclose(whole, function(logits[..., kept], ref_logits[..., kept]), atol=1e-6)
        gradients = torch.autograd.grad(whole.sum(), policy.parameters(), retain_graph=True)
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_policy_fits_its_tokenizer_and_has_32_bits(tokenizer):
    with pytest.raises(ModelError, match="outside the model"):
        policy_of(tiny(word_level(["a"])), tokenizer)
    with pytest.raises(ModelError, match="bf16-mixed"):
        policy_of(tiny(tokenizer).to(torch.bfloat16), tokenizer)
