import math

import pytest
import torch
from torch import tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rlhf.functional import vocabulary
from rlhf.functional.kl import exact
from rlhf.functional.logprobs import entropy, token_logp
from rlhf.functional.vocabulary import _blocks, entropy_of, first, kl_of, read, tempered

SHAPES = [((3, 4), 5), ((2, 3), 40), ((7,), 6)]


def plain_logp(x, tokens):
    """The same over all of the logits at once."""
    return x.gather(-1, tokens[..., None]).squeeze(-1) - x.logsumexp(-1)


def plain_entropy(x):
    logp = x.log_softmax(-1)
    return -(logp.exp() * logp.masked_fill(logp == -torch.inf, 0)).sum(-1)


def plain_kl(x, ref):
    logp, ref_logp = x.log_softmax(-1), ref.log_softmax(-1)
    return (logp.exp() * torch.where(logp > -torch.inf, logp - ref_logp, 0.0)).sum(-1)


def drawn(shape, size, dtype=torch.float32):
    draws = torch.Generator().manual_seed(len(shape) + size)
    logits, ref = (3 * torch.randn(*shape, size, generator=draws, dtype=dtype) for _ in "ab")
    return logits, ref, torch.randint(size, shape, generator=draws)


@pytest.fixture(params=[vocabulary.BLOCK, 48, 1], ids=["whole", "blocks", "rows"])
def block(request, monkeypatch):
    monkeypatch.setattr(vocabulary, "BLOCK", request.param)


def test_blocks_are_whole_lines_or_parts_of_one(monkeypatch):
    """Rows of 3 numbers are 12 bytes: 48 bytes hold four rows, so two lines of two, or parts of a
    line of five."""
    monkeypatch.setattr(vocabulary, "BLOCK", 48)
    assert [*_blocks(torch.empty(3, 3, 3), 2)] == [
        (slice(0, 2), slice(0, 2)),
        (slice(2, 4), slice(0, 2)),
    ]
    parts = [
        (slice(line, line + 1), part) for line in (0, 1) for part in (slice(0, 4), slice(4, 5))
    ]
    assert [*_blocks(torch.empty(2, 6, 3), 5)] == parts
    assert [*_blocks(torch.empty(0, 6, 3), 5)] == []
    # a GPU gets 2**25 bytes, eight rows of 2**20 numbers
    assert [*_blocks(torch.empty(1, 8, 2**20, device="meta"), 8)] == [(slice(0, 1), slice(0, 8))]


def test_numbers_by_hand():
    """Of 1/2, 1/4, 1/4: the log-probability of the second is -2 log 2, the entropy 1.5 log 2, the
    KL to the uniform log 3 - 1.5 log 2."""
    logits, log2 = tensor([[[0.5, 0.25, 0.25]]]).log(), math.log(2)
    got = read(logits, tensor([[1]]), torch.zeros(1, 1, 3), entropy=True)
    numbers = [got.logp, got.entropy, got.exact_kl]
    assert [x.item() for x in numbers] == pytest.approx(
        [-2 * log2, 1.5 * log2, math.log(3) - 1.5 * log2]
    )
    # at temperature 1/2 it is 4/6, 1/6, 1/6
    assert read(logits, tensor([[0]]), temperature=0.5).logp.item() == pytest.approx(
        math.log(4 / 6)
    )
    alone = read(logits, tensor([[1]]))
    assert alone.entropy is None and alone.exact_kl is None


@pytest.mark.parametrize(("shape", "size"), SHAPES)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_blocks_change_no_bit_of_numbers_and_gradients(block, shape, size, temperature):
    logits, ref, tokens = drawn(shape, size)
    weights = torch.rand(3, *shape)

    def gradients(functions):
        leaves = [x.clone().requires_grad_() for x in (logits, ref)]
        numbers = functions(*leaves)
        total = sum((w * x).sum() for w, x in zip(weights, numbers, strict=True))
        return [x.detach() for x in numbers], torch.autograd.grad(total, leaves)

    def ours(x, y):
        got = read(x, tokens, y, temperature=temperature, entropy=True)
        return got.logp, got.entropy, got.exact_kl

    def plain(x, y):
        x, y = tempered(x, temperature), tempered(y, temperature)
        return plain_logp(x, tokens), plain_entropy(x), plain_kl(x, y)

    for mine, whole in zip(gradients(ours), gradients(plain), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, whole, strict=True))


def test_gradients_are_those_of_finite_differences(block):
    logits, ref, tokens = drawn((2, 3), 4, torch.float64)
    logits.requires_grad_(), ref.requires_grad_()

    def all_three(x, y):
        got = read(x, tokens, y, temperature=0.8, entropy=True)
        return got.logp, got.entropy, got.exact_kl

    assert torch.autograd.gradcheck(all_three, (logits, ref))
    assert torch.autograd.gradcheck(lambda x: token_logp(x, tokens), (logits,))
    assert torch.autograd.gradcheck(entropy, (logits,))
    assert torch.autograd.gradcheck(exact, (logits, ref))


def test_gradients_by_hand():
    """p = (3/4, 1/4), q = (1/2, 1/2): d logp of the first = 1 - p; d H = -p (log p + H); d KL = p
    (log p - log q - KL), and q's is q - p."""
    p, q = tensor([0.75, 0.25]), tensor([0.5, 0.5])
    logits, ref = (x.log()[None, None].requires_grad_() for x in (p, q))
    got = read(logits, tensor([[0]]), ref, entropy=True)
    (of_logp,) = torch.autograd.grad(got.logp.sum(), logits, retain_graph=True)
    (of_entropy,) = torch.autograd.grad(got.entropy.sum(), logits, retain_graph=True)
    of_kl = torch.autograd.grad(got.exact_kl.sum(), (logits, ref))
    h, kl = -(p * p.log()).sum(), (p * (p / q).log()).sum()
    torch.testing.assert_close(of_logp[0, 0], tensor([0.25, -0.25]))
    torch.testing.assert_close(of_entropy[0, 0], -p * (p.log() + h))
    torch.testing.assert_close(of_kl[0][0, 0], p * ((p / q).log() - kl))
    torch.testing.assert_close(of_kl[1][0, 0], q - p)


def test_positions_beyond_the_tokens_are_not_read(block):
    logits, ref, tokens = drawn((2, 3), 5)
    longer = torch.cat([logits, torch.full((2, 1, 5), torch.nan)], 1).requires_grad_()
    ref_longer = torch.cat([ref, torch.full((2, 1, 5), torch.nan)], 1).requires_grad_()
    got = read(longer, tokens, ref_longer, entropy=True)
    assert torch.equal(got.logp, plain_logp(logits, tokens))
    assert torch.equal(got.exact_kl, plain_kl(logits, ref))
    total = got.logp.sum() + got.exact_kl.sum() + got.entropy.sum()
    for gradient in torch.autograd.grad(total, (longer, ref_longer)):
        assert gradient.isfinite().all() and (gradient[:, -1] == 0).all()


def test_excluded_tokens_count_nothing(block):
    logits = tensor([[[0.0, -torch.inf, 0.0]]], requires_grad=True)
    assert entropy_of(logits).item() == pytest.approx(math.log(2))
    kl = kl_of(logits, torch.zeros(1, 1, 3))
    assert kl.item() == pytest.approx(math.log(1.5))
    total = kl.sum() + entropy_of(logits).sum() + token_logp(logits, tensor([[0]])).sum()
    assert torch.autograd.grad(total, logits)[0].isfinite().all()


class Largest(TorchDispatchMode):
    """The elements of the largest float32 tensor that an operation made, views of those that were
    there aside."""

    def __init__(self, *there):
        super().__init__()
        self.there, self.elements = {x.untyped_storage().data_ptr() for x in there}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            fresh = isinstance(x, torch.Tensor) and x.dtype == torch.float32
            if fresh and x.untyped_storage().data_ptr() not in self.there:
                self.elements = max(self.elements, x.numel())
        return result


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_no_copy_of_all_logits_is_made(monkeypatch, dtype, temperature):
    """Of logits in 16 bits there is no float32 copy at all; of those in 32 their gradients alone
    are as large."""
    monkeypatch.setattr(vocabulary, "BLOCK", 4 * 100 * 4)  # four rows
    logits, ref, tokens = drawn((3, 8), 100)
    logits, ref = logits.to(dtype).requires_grad_(), ref.to(dtype)
    with Largest(logits, ref) as forward:
        got = read(logits, tokens, ref, temperature=temperature, entropy=True)
    assert forward.elements <= 4 * 100
    with Largest(logits, ref) as backward:
        (got.logp.sum() + got.entropy.sum() + got.exact_kl.sum()).backward()
    assert backward.elements <= (3 * 8 * 100 if dtype == torch.float32 else 4 * 100)
    assert logits.grad.dtype == dtype


def test_logits_that_are_used_up_give_their_place_to_the_gradient():
    """The same gradient, in the memory of the logits; and no second backward pass by wrong ones."""
    logits, ref, tokens = drawn((3, 4), 5)
    leaf = logits.requires_grad_()
    gradients = []
    for used_up in (False, True):
        x = leaf * 1.0
        numbers = read(x, tokens, ref, temperature=0.7, entropy=True, used_up=used_up)
        loss = numbers.logp.sum() + numbers.entropy.sum() + numbers.exact_kl.sum()
        gradients += torch.autograd.grad(loss, leaf, retain_graph=True)
    assert torch.equal(*gradients) and torch.equal(x, gradients[1])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, leaf)


@pytest.mark.parametrize(
    "head",
    [
        torch.tanh,
        lambda x: x.log_softmax(-1),
        lambda x: x.tanh()[:, :5],  # a part of what is needed again
        lambda x: first(x.tanh(), 5),
        lambda x: x,
        lambda x: x[:, :5],
        lambda x: first(x, 5),
    ],
)
def test_logits_that_are_needed_again_keep_their_place(head):
    leaf, tokens = torch.randn(4, 7, requires_grad=True), torch.tensor([0, 1, 2, 4])
    before = leaf.detach().clone()
    gradients = [
        torch.autograd.grad(read(head(leaf), tokens, used_up=used_up).logp.sum(), leaf)[0]
        for used_up in (False, True)
    ]
    assert torch.equal(*gradients) and torch.equal(leaf, before)


@pytest.mark.parametrize("used_up", [False, True])
def test_the_first_ids_of_a_wider_head(used_up):
    """The gradient of the rest is 0; where the logits are used up it lies in their memory."""
    logits, _, tokens = drawn((3, 4), 5)
    leaf = torch.cat([logits, logits[..., :2]], dim=-1).requires_grad_()
    plain = read(leaf[..., :5] * 1.0, tokens, entropy=True)
    (expected,) = torch.autograd.grad(plain.logp.sum() + plain.entropy.sum(), leaf)
    whole = leaf * 1.0
    numbers = read(first(whole, 5), tokens, entropy=True, used_up=used_up)
    (given,) = torch.autograd.grad(numbers.logp.sum() + numbers.entropy.sum(), whole)
    assert torch.equal(given, expected) and not given[..., 5:].any()
    assert (given.data_ptr() == whole.data_ptr()) == used_up


def test_no_rows_have_no_numbers():
    nothing = read(torch.zeros(0, 5, requires_grad=True), torch.zeros(0, dtype=torch.long))
    assert nothing.logp.shape == (0,)
    nothing.logp.sum().backward()
