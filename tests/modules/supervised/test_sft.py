import math
from functools import partial

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.data.collate import collate_demonstrations, encode_demonstrations
from rlhf.data.conversations import shown
from rlhf.data.lengths import Limit
from rlhf.data.loaders import MicroBatches, ShuffledBatches, packs
from rlhf.functional.losses import token_nll
from rlhf.modules.supervised.sft import SFTModule
from rlhf.stages.rows import tokens_of
from tests.conftest import tiny
from tests.training import fit
from tests.turns import demonstration, rendering

ROWS = [
    demonstration("a b", " c"),
    demonstration("a", " c d e f"),
]


def make(policy, tokenizer, rows=ROWS, size=2, train_on_prompt=False):
    collate = partial(collate_demonstrations, fill=0, train_on_prompt=train_on_prompt)
    encoded = encode_demonstrations(rendering(tokenizer), rows, Limit(most=20))
    module = SFTModule(
        policy,
        make_optimizer=torch.optim.SGD,
        heldout=lambda: packs(encoded, collate, at_once=AtOnce(rows=size), tokens=tokens_of),
        epochs=1,
    )
    return module, collate(encoded)


def nll_by_hand(policy, tokenizer, row, *, prompt_too):
    ids = tokenizer(shown(row.prompt) + row.completion, add_special_tokens=False)["input_ids"] + [
        tokenizer.eos_token_id
    ]
    prompt = tokenizer(shown(row.prompt), add_special_tokens=False)["input_ids"]
    start = 1 if prompt_too else len(prompt)
    logp = policy(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return [-float(logp[i - 1, ids[i]].detach()) for i in range(start, len(ids))]


@pytest.mark.parametrize("prompt_too", [False, True])
def test_the_loss_is_the_mean_over_counted_tokens(policy, tokenizer, prompt_too):
    module, batch = make(policy, tokenizer, train_on_prompt=prompt_too)
    tokens = [x for row in ROWS for x in nll_by_hand(policy, tokenizer, row, prompt_too=prompt_too)]
    assert float(module.nll(batch).detach()) == pytest.approx(sum(tokens) / len(tokens), abs=1e-5)


def test_held_out_loss_weighs_tokens_not_batches(policy, tokenizer):
    one, two = (
        make(policy, tokenizer, size=1)[0].evaluate(),
        make(policy, tokenizer, size=2)[0].evaluate(),
    )
    assert one["val/loss"] == pytest.approx(two["val/loss"], abs=1e-5)
    assert one["val/perplexity"] == pytest.approx(math.exp(one["val/loss"]))


def test_split_invariance_of_an_epochs_loss(policy, tokenizer):
    """Rows of 2 and 5 counted tokens, one a batch, at a learning rate that moves nothing: the
    epoch's loss is the mean over the 7 tokens."""
    module, whole = make(policy, tokenizer)
    module.make_optimizer = lambda params: torch.optim.SGD(params, lr=0.0)
    fit(module, [make(policy, tokenizer, rows=[row])[1] for row in ROWS])
    nll = [x for row in ROWS for x in nll_by_hand(policy, tokenizer, row, prompt_too=False)]
    assert len(nll) == 7
    assert module.record["train/loss"] == pytest.approx(sum(nll) / 7, abs=1e-5)
    assert module.record["train/loss"] == pytest.approx(float(module.nll(whole).detach()), abs=1e-6)


@pytest.mark.parametrize("prompt_too", [False, True])
def test_loss_and_gradient_are_those_of_padded_rows(tokenizer, architecture, prompt_too):
    """Whatever the layout: the network called on whole rows with their mask, a head at each
    position."""
    policy = tiny(tokenizer, architecture)
    module, batch = make(policy, tokenizer, rows=UNEVEN, train_on_prompt=prompt_too)
    logits = policy(input_ids=batch.tokens, attention_mask=batch.attention.long()).logits
    expected = token_nll(logits[:, :-1], batch.tokens[:, 1:], batch.loss_mask[:, 1:])
    losses = (expected, module.nll(batch))
    assert float(losses[1].detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    padded, ours = (torch.autograd.grad(loss, [*policy.parameters()]) for loss in losses)
    for one, other in zip(padded, ours, strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-4)


UNEVEN = [
    demonstration(prompt, completion)
    for prompt, completion in (
        ("a b", " c"),
        ("a", " c d e f g h"),
        ("a b c d", " e"),
        ("b", " c d"),
        ("c a", " b a c d"),
    )
]


@pytest.mark.parametrize("limit", [{"rows": 1}, {"rows": 2}, {"tokens": 16}])
@pytest.mark.parametrize(("prompt_too", "turns"), [(False, "all"), (True, "all"), (False, "last")])
def test_accum_invariance_of_sft(tokenizer, limit, prompt_too, turns):
    """Five rows of uneven lengths in steps of 3 and 2: weights, loss, norms and learning rate are
    those of whole batches, and so are the numbers of the held-out rows."""
    encoded = encode_demonstrations(rendering(tokenizer), UNEVEN, Limit(most=20))
    collate = partial(collate_demonstrations, fill=0, train_on_prompt=prompt_too, turns=turns)

    def trained(**limits):
        at_once = AtOnce(**limits)
        module = SFTModule(
            tiny(tokenizer),
            make_optimizer=partial(torch.optim.SGD, lr=0.5),
            heldout=lambda: packs(encoded, collate, at_once=at_once, tokens=tokens_of),
            epochs=2,
            lr_schedule="linear",
            lr_warmup=0.5,
            steps=2,
        )
        steps = ShuffledBatches(
            encoded, 3, collate, seed=0, stage="sft", epoch=lambda: module.iteration
        )
        loader = MicroBatches(steps, at_once, tokens=tokens_of, began=module.accumulate)
        return fit(module, loader if limits else steps, clip=0.7)

    whole, split = trained(), trained(**limit)
    assert whole.trainer.global_step == split.trainer.global_step == 4
    assert split.record == pytest.approx(whole.record, abs=1e-5)
    for one, other in zip(whole.parameters(), split.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
