"""A random Llama of two layers, and a scalar model on it, cut over two ranks of gloo."""

import copy

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.models.load import scalar_model_from
from rlhf.models.policy import policy_of, response_logits
from rlhf.models.sharding.agreed import any_rank, is_cut
from rlhf.models.sharding.cut import cut, kept_together
from rlhf.models.sharding.whole import (
    load_optimizer_state,
    load_weights,
    nonfinite_parts,
    optimizer_state,
    part,
    weights_of,
    whole,
)
from rlhf.models.training.partial import train_only
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.engines.table import ENGINES
from tests.conftest import tiny
from tests.turns import prompt_batch, stops
from tests.two_ranks import on_two_ranks

TOKENS = torch.tensor([[3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3]])
EVERYWHERE = torch.ones_like(TOKENS, dtype=torch.bool)


def mesh():
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh("cpu", (2,))


def held(model):
    return sum(part(p).numel() for p in model.parameters())


def size(model):
    return sum(p.numel() for p in model.parameters())


def loss_of(model):
    return response_logits(model, TOKENS, EVERYWHERE, 4).square().mean()


def test_each_rank_holds_a_half_and_reads_the_whole(tokenizer):
    def rank(_, model):
        with torch.no_grad():
            before = response_logits(model, TOKENS, EVERYWHERE, 4)
            cut(model, mesh())
            after = response_logits(model, TOKENS, EVERYWHERE, 4)
        return held(model), size(model), torch.equal(before, after), is_cut(model)

    model = policy_of(tiny(tokenizer), tokenizer)
    first, second = on_two_ranks(rank, model)
    assert first[1:] == second[1:] == (size(model), True, True)
    assert first[0] + second[0] == size(model) and abs(first[0] - second[0]) <= size(model) // 10
    assert not is_cut(model)


def test_joined_it_is_what_it_was_on_rank_0(tokenizer):
    """Class, hooks, ties and weights; its own attributes of the time between stay."""

    def rank(number, model):
        before = copy.deepcopy(model)
        kind, hooks = type(model), [len(m._forward_hooks) for m in model.modules()]
        own = [{*vars(m)} for m in model.modules()]
        with torch.no_grad():
            logits = response_logits(model, TOKENS, EVERYWHERE, 4)
            pieces = cut(model, mesh())
            response_logits(model, TOKENS, EVERYWHERE, 4)
            model.config.noted = 1
            pieces.join()
        assert type(model) is kind and not is_cut(model) and model.config.noted == 1
        assert [len(m._forward_hooks) for m in model.modules()] == hooks
        assert [{*vars(m)} for m in model.modules()] == own
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        if number:
            return all(p.numel() == 0 for p in model.parameters())
        same = zip(model.state_dict().items(), before.state_dict().items(), strict=True)
        assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in same)
        with torch.no_grad():
            return torch.equal(response_logits(model, TOKENS, EVERYWHERE, 4), logits)

    assert on_two_ranks(rank, policy_of(tiny(tokenizer), tokenizer)) == [True, True]


def test_gradients_are_the_mean_of_the_ranks(tokenizer, architecture):
    """Each rank reads one of two rows; the mean of their losses is one process's on both. A GPT-2's
    states are a view of another tensor, which nobody may change in place."""

    def rank(number, model):
        cut(model, mesh())
        rows = slice(number, number + 1)
        response_logits(model, TOKENS[rows], EVERYWHERE[rows], 4).square().mean().backward()
        return {name: whole(p.grad) for name, p in model.named_parameters()}

    model = tiny(tokenizer, architecture)
    loss_of(model).backward()
    for gradients in on_two_ranks(rank, copy.deepcopy(model)):
        for name, p in model.named_parameters():
            torch.testing.assert_close(gradients[name], p.grad, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_scalar_models_head_reads_states_of_another_time(tokenizer, dtype):
    """In float32, whatever the layers are read in."""

    def rank(_, model):
        with torch.no_grad():
            before = model.score(TOKENS, EVERYWHERE), model.values(TOKENS, EVERYWHERE, 3)
        pieces = cut(model, mesh(), dtype)
        states = model.last_states(TOKENS, EVERYWHERE)
        assert states.dtype == torch.float32
        score = model.read(states)
        score.sum().backward()
        grads = [whole(p.grad).abs().sum() for p in model.parameters()]
        with torch.no_grad():
            after = model.score(TOKENS, EVERYWHERE), model.values(TOKENS, EVERYWHERE, 3)
        pieces.join()
        if dtype is not None:
            torch.testing.assert_close(after, before, atol=2e-2, rtol=2e-2)
            assert not torch.equal(after[0], after[0].bfloat16().float())
            before = after
        torch.testing.assert_close(score.detach(), before[0])
        return all(map(torch.equal, before, after)) and all(float(g) > 0 for g in grads)

    model = scalar_model_from(tiny(tokenizer), seed=0)
    assert on_two_ranks(rank, model) == [True, True]


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("limits", [{}, {"tokens": 52}])
def test_all_ranks_draw_until_all_have_ended(tokenizer, name, limits):
    """The responses of one rank end early, and of 52 tokens at once (24 new ones) one rank has one
    part and the other two. Without a common stop one would wait for the other in vain; each
    response is what one process draws."""
    texts = (["a b", "c"], ["a b c d e f", "c"])

    def rank(number, policy):
        prompts = prompt_batch(tokenizer, texts[number])
        own = (stops(tokenizer), tokenizer.pad_token_id, tokenizer, AtOnce(**limits))
        engine = ENGINES[name](policy, *own)
        sampling = Sampling(max_new_tokens=24)

        def draw(seed):
            return engine.respond(prompts, sampling, torch.Generator().manual_seed(seed))

        alone = draw(seeds[number])
        cut(policy, mesh())
        with kept_together(policy):
            together = draw(seeds[number])
            inside = held(policy)
        width = alone.tokens.shape[1]
        for column in ("tokens", "mask", "ended"):
            assert torch.equal(getattr(together, column), getattr(alone, column)), column
        return width, inside, held(policy), size(policy)

    policy = policy_of(tiny(tokenizer), tokenizer)
    seeds = (9, 0)
    first, second = on_two_ranks(rank, policy)
    assert first[0] != second[0], "choose other seeds: the lengths must differ"


def test_an_update_after_a_reading_is_read(tokenizer):
    """A forward pass without a backward would leave the embedding together, and stale."""

    def rank(_, model):
        cut(model, mesh())
        with torch.no_grad():
            before = loss_of(model)
            for p in model.parameters():
                p.mul_(2.0)
            return float(before), float(loss_of(model))

    model = tiny(tokenizer)
    twice = copy.deepcopy(model)
    with torch.no_grad():
        for p in twice.parameters():
            p.mul_(2.0)
        expected = pytest.approx([float(loss_of(model)), float(loss_of(twice))], rel=1e-6)
    assert [*on_two_ranks(rank, model)[0]] == expected


def test_states_are_as_one_process_writes_them(tokenizer):
    """Of a model whose last layer is trained: the optimizer's states are numbered by what is
    trained, and both ways round the next step is the same."""

    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()

    def make(model):
        return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)

    def rank(number, model, kept, moments):
        cut(model, mesh())
        optimizer = make(model)
        steps(model, optimizer, 1)
        written = weights_of(model), optimizer_state(optimizer)
        again = make(model)
        load_weights(model, kept)
        load_optimizer_state(again, moments)
        steps(model, again, 1)
        after = {name: whole(p.detach()) for name, p in model.named_parameters()}
        return written, after

    model = train_only(tiny(tokenizer), "last:1")
    one = copy.deepcopy(model)
    optimizer = make(one)
    steps(one, optimizer, 1)
    kept, moments = copy.deepcopy((one.state_dict(), optimizer.state_dict()))
    steps(one, optimizer, 1)
    (written, after), (nothing, _) = on_two_ranks(rank, model, kept, moments)
    assert nothing == ({}, {})
    torch.testing.assert_close(dict(written[0]), dict(kept))
    assert written[1]["param_groups"] == moments["param_groups"]
    torch.testing.assert_close(written[1]["state"], moments["state"])
    torch.testing.assert_close(after, dict(one.named_parameters()), atol=1e-6, rtol=1e-5)


def test_what_is_not_finite_in_one_part_is_known_on_all_ranks(tokenizer):
    def rank(number, model):
        cut(model, mesh())
        assert nonfinite_parts(model.named_parameters()) == {}
        with torch.no_grad():
            if number == 1:
                part(model.get_input_embeddings().weight)[0, :3] = torch.nan
        return nonfinite_parts(model.named_parameters())

    named = {"model.embed_tokens.weight": 3}
    assert on_two_ranks(rank, tiny(tokenizer)) == [named, named]


def test_a_flag_of_any_rank_counts_where_a_model_is_cut(tokenizer):
    def rank(number, model):
        mine = torch.tensor([number == 1, False])
        apart = any_rank(mine, model)
        cut(model, mesh())
        return apart, any_rank(mine, model), any_rank(torch.tensor([False]), model)

    assert on_two_ranks(rank, tiny(tokenizer)) == [(False, True, False), (True, True, False)]
