from dataclasses import dataclass, replace

import torch

from rlhf.functional.logprobs import token_logp
from rlhf.models.policy import PolicyReader, response_logits
from rlhf.oracle import enumerate_rollout
from rlhf.types import PromptBatch
from tests.conftest import tiny


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
    prompt = PromptBatch(tokens=ids, mask=torch.ones_like(ids, dtype=torch.bool), texts=("c b",))
    return enumerate_rollout(prompt, 3, 0, 3)


def test_a_reader_gives_the_log_probabilities_at_its_temperature(policy):
    rollout = listed()
    reader = PolicyReader(model=policy, temperature=0.5, rows=4)
    logits = response_logits(policy, rollout.sequence, rollout.attention, 3)
    by_hand = (logits / 0.5).log_softmax(-1).gather(2, rollout.tokens[..., None]).squeeze(2)
    logp = reader.logp(rollout)
    assert torch.allclose(logp, by_hand.masked_fill(~rollout.mask, 0.0), atol=1e-5)
    assert not logp.requires_grad and reader.logits(rollout).requires_grad
    assert torch.allclose(replace(reader, rows=15).logp(rollout), logp, atol=1e-6)


@dataclass(frozen=True, kw_only=True)
class WithoutAdapter(PolicyReader):
    """A reference that is no network of its own: the policy's, with a part of it switched off."""

    def logits(self, rollout):
        head = self.model.get_output_embeddings()
        weight, head.weight.data = head.weight.data, torch.zeros_like(head.weight)
        logits = super().logits(rollout)
        head.weight.data = weight
        return logits


def test_a_reference_may_be_the_policys_own_network(policy):

    rollout = listed()
    reader = PolicyReader(model=policy, temperature=1.0, rows=8)
    view = reader.view(WithoutAdapter(**vars(reader)), rollout)
    uniform = -torch.log(torch.tensor(float(policy.config.vocab_size)))
    assert torch.allclose(view.ref_logp, uniform * rollout.mask, atol=1e-5)
    assert torch.equal(view.logp, reader.logp(rollout))
