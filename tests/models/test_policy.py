import torch

from rlhf.functional.logprobs import token_logp
from rlhf.models.policy import response_logits
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
