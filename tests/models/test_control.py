"""Control tokens: read and never written, in every layout, beside adapters too."""

import pytest
import torch

from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.views import PolicyView
from rlhf.models.control import first_id, mean_embedding, reading, unmarked, with_control
from rlhf.models.packing.layouts import Layout
from rlhf.models.packing.read import logits_at
from rlhf.models.policy import policy_of
from rlhf.types import Rollout
from tests.conftest import tiny
from tests.turns import prompt_batch

ROWS = [[9, 7, 3], [4, 8], [5]]  # 8 and 9 are control tokens of a vocabulary of 8


@pytest.fixture
def model():
    from rlhf.data.tokenizers import symbols

    tokenizer = symbols("abcdef")
    policy = policy_of(tiny(tokenizer), tokenizer)
    assert first_id(policy) == 8
    return policy


def control(count=2):
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(0)) * 0.1


def by_embeddings(model, ids, rows):
    """Logits of one text from embeddings that are put together here."""
    table = torch.cat([model.get_input_embeddings().weight, rows])
    return model(inputs_embeds=table[torch.tensor([ids])]).logits[0]


@pytest.mark.parametrize("layout", [*Layout])
def test_a_control_token_is_its_row_in_every_layout(model, layout):
    rows = control()
    tokens, attention = torch.zeros(3, 4, dtype=torch.long), torch.zeros(3, 4, dtype=torch.bool)
    for row, ids in enumerate(ROWS):
        tokens[row, 4 - len(ids) :], attention[row, 4 - len(ids) :] = torch.tensor(ids), True
    with reading(model, rows):
        logits = logits_at(model, tokens, attention, attention, layout)
    true = torch.cat([by_embeddings(model, ids, rows) for ids in ROWS])
    assert logits.shape == (6, 8)  # none of them has a logit
    torch.testing.assert_close(logits, true, atol=1e-5, rtol=1e-5)


def test_their_rows_alone_get_their_gradient(model):
    rows = control().requires_grad_(True)
    ids = torch.tensor([[9, 7, 3]])
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with reading(model, rows):
        model(input_ids=ids).logits.square().mean().backward()
    assert not rows.grad[0].any() and rows.grad[1].abs().min() > 0


def test_outside_the_model_is_what_it_was(model):
    state = {name: weight.clone() for name, weight in model.state_dict().items()}
    with reading(model, control()):
        pass
    with pytest.raises(IndexError):
        model(input_ids=torch.tensor([[8]]))
    after = model.state_dict()
    assert state.keys() == after.keys() and all(torch.equal(state[n], after[n]) for n in state)


def test_an_adapter_reads_them_and_leaves_the_network_alone(model):
    """Of a network that several roles share each reads by its own adapter."""
    shared = SharedBackbone(model.requires_grad_(False))
    shared.add("policy", Lora(r=2, alpha=4, targets=("q_proj", "v_proj")), seed=0)
    view = PolicyView(shared, "policy").requires_grad_(True)
    rows = control().requires_grad_(True)
    for parameter in view.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with reading(view, rows):
        logits = view(input_ids=torch.tensor([[9, 7, 3]])).logits
    logits.square().mean().backward()
    assert rows.grad[1].any() and all(p.grad is not None for p in view.parameters())
    with reading(model, rows), torch.no_grad():
        alone = model(input_ids=torch.tensor([[9, 7, 3]])).logits
    assert (alone - logits).abs().max() > 1e-3


def test_the_mean_embedding_by_hand(model):
    torch.testing.assert_close(
        mean_embedding(model), model.get_input_embeddings().weight.detach().mean(0)
    )


@pytest.mark.parametrize(
    ("ids", "bos", "most", "whole"),
    [
        ([5, 6], None, None, [9, 5, 6]),
        ([1, 5, 6], 1, None, [1, 9, 5, 6]),  # behind the BOS
        ([5, 6], 1, None, [9, 5, 6]),  # which this one has not
        ([5, 6, 7], None, 3, [9, 6, 7]),  # no room for all
        ([1, 5, 6], 1, 3, [1, 9, 6]),
        ([5, 6], None, 3, [9, 5, 6]),
    ],
)
def test_where_a_control_token_stands(ids, bos, most, whole):
    assert with_control(ids, 9, bos, most) == whole


def test_a_reference_reads_the_prompt_without_it(model):
    """As if the token had never been there."""
    from rlhf.data.tokenizers import symbols
    from rlhf.models.policy import PolicyReader

    tokenizer = symbols("abcdef")
    prompt = prompt_batch(tokenizer, ["a b c", "d"])

    def rollout(tokens, mask):
        batch = type(prompt)(tokens=tokens, mask=mask, prompts=prompt.prompts)
        answer = torch.tensor([[3, 4], [5, 2]])
        none = torch.zeros(2, 2)
        return Rollout(
            prompt=batch,
            tokens=answer,
            mask=none == 0,
            logp=none,
            ended=torch.ones(2, dtype=torch.bool),
        )

    plain = rollout(prompt.tokens, prompt.mask)
    tokens, mask = (torch.cat([x[:, :1], x], 1) for x in (prompt.tokens, prompt.mask))
    tokens[0, 1], mask[0, :2] = 8, True  # in its middle, as behind a BOS
    tokens[0, 0] = prompt.tokens[0, 0]
    tokens[1, -2], mask[1, -2] = 9, True
    reader = PolicyReader(model=model, temperature=1.0)
    torch.testing.assert_close(
        reader.logp(unmarked(rollout(tokens, mask), 8)), reader.logp(plain), atol=1e-5, rtol=1e-5
    )
