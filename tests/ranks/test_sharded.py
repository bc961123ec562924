"""Two ranks that hold parts of every model, against one process that holds all of it."""

import math
from functools import partial

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.callbacks.checkpoint import AtomicCheckpointIO, checkpoint_path
from rlhf.config.schema import Trainer
from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Reward
from rlhf.kl.reference import EMA
from rlhf.models.sharding.agreed import is_cut
from rlhf.models.sharding.whole import part
from rlhf.ranks.group import ALONE, Ranks
from rlhf.rundir.errors import NonFinite
from rlhf.rundir.files import read_jsonl
from rlhf.stages.fit import fit
from rlhf.tracking.base import NoTracker
from tests.conftest import tiny
from tests.ranks.test_training import PPO, ppo, same, supervised
from tests.ranks.training import alone_and_shared, train
from tests.two_ranks import on_two_ranks


@pytest.mark.parametrize("stage", ["sft", "reward_model"])
@pytest.mark.parametrize("limits", [{}, {"rows": 1}])
def test_parts_of_a_model_learn_what_the_whole_does(tokenizer, stage, limits):
    make = partial(supervised, stage, tokenizer, **limits)
    alone, shared = alone_and_shared(make, sharded=True)
    same(alone, shared, 1e-5)


@pytest.mark.parametrize("stage", ["sft", "reward_model"])
def test_read_in_bfloat16_they_learn_as_under_autocast(tokenizer, stage):
    """Their weights stay in float32; a reward, which a head reads in float32, has digits that no
    bfloat16 has."""

    def rank(number):
        module, batches = supervised(stage, tokenizer)
        ranks = Ranks(rank=number, size=2)
        run = train(module, batches, ranks, clip=0.7, sharded=True, precision="bf16-mixed")
        gaps = [s for batch, _ in module.own_heldout() for s in given(module, batch)]
        return run, {part(p).dtype for p in module.parameters()}, torch.cat(gaps)

    @torch.no_grad()
    def given(module, batch):
        return module.scores(batch) if stage == "reward_model" else [module.nll(batch)[None]]

    alone = train(*supervised(stage, tokenizer), clip=0.7, precision="bf16-mixed")
    (first, types, scores), (second, *_) = on_two_ranks(rank)
    same(alone, (first, second), 2e-2)
    assert types == {torch.float32} and scores.dtype == torch.float32
    assert not torch.equal(scores, scores.bfloat16().float())


@pytest.mark.parametrize("case", PPO)
def test_parts_of_a_policy_optimise_as_the_whole_does(tokenizer, case):
    """Draws, KL, coefficient, early stops, the moving reference and the weights."""
    alone, shared = alone_and_shared(partial(ppo, tokenizer, **PPO[case]), sharded=True)
    same(alone, shared, 2e-4)


def test_in_two_precisions_the_kl_begins_at_zero(tokenizer):
    """Policy and reference are put together in bfloat16 alike: before the first step there is no KL
    to the bit, and the weights, which stay in float32, move by less than bfloat16 could tell."""

    def rank(number):
        module, batches = ppo(tokenizer, iterations=1, lr=1e-6)
        before = [p.detach().clone() for p in module.policy.parameters()]
        run = train(
            module,
            batches,
            Ranks(rank=number, size=2),
            sharded=True,
            precision="bf16-mixed",
        )
        module.join()
        if number:
            return None
        moved = [
            float((p - q).abs().max())
            for p, q in zip(module.policy.parameters(), before, strict=True)
        ]
        types = {p.dtype for p in module.policy.parameters()}
        return run["rows"][0], max(moved), types

    row, moved, types = on_two_ranks(rank)[0]
    assert row["kl/sequence_nats"] == row["kl/sequence_nats_exact"] == 0.0
    assert 0 < moved < 1e-4 and types == {torch.float32}
    assert all(math.isfinite(row[name]) for name in ("ppo/grad_norm", "ppo/policy_loss"))


SETTINGS = Trainer(accelerator="cpu", precision="32-true", threads=1, strategy="fsdp", devices=2)


def fitted(directory, tokenizer, ranks, iterations, reference=None):
    """A module after as many iterations as it had not in the directory."""
    torch.manual_seed(0)
    kl = KLPenalty(Fixed(0.1), K1(), Reward(), EMA(0.5))
    start = tiny(tokenizer).requires_grad_(False)
    module, batches = ppo(tokenizer, kl=kl, iterations=iterations)
    module.parts.__dict__["start"] = module.parts.start.__class__(
        model=start, temperature=1.0, at_once=AtOnce(rows=8)
    )
    fit(
        module,
        batches,
        directory=directory,
        status_in=directory,
        settings=SETTINGS,
        grad_clip=0.7,
        checkpoint_every=1,
        tracker=NoTracker(),
        ranks=ranks,
    )
    return module


def as_ranks(directory, tokenizer, iterations):
    """Rank 0's records and weights after its module was put together."""

    def rank(number):
        module = fitted(directory, tokenizer, Ranks(rank=number, size=2), iterations)
        assert not any(is_cut(model) for model in module.children())
        return {name: tensor.clone() for name, tensor in module.state_dict().items()}

    return on_two_ranks(rank)[0]


def contents(directory, iteration):
    return AtomicCheckpointIO().load_checkpoint(checkpoint_path(directory, iteration), "cpu")


def close(one, other, tolerance=1e-4):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=tolerance, rtol=tolerance)


def test_checkpoints_go_from_two_ranks_to_one_and_back(tokenizer, tmp_path):
    """Three iterations: by one process; two by ranks and the third by one process; and the other
    way round. The file is what one process writes."""
    folders = {name: tmp_path / name for name in ("one", "shrunk", "grown")}
    for folder in folders.values():
        folder.mkdir()
    whole = fitted(folders["one"], tokenizer, ALONE, 3).state_dict()
    as_ranks(folders["shrunk"], tokenizer, 2)
    shrunk = fitted(folders["shrunk"], tokenizer, ALONE, 3).state_dict()
    fitted(folders["grown"], tokenizer, ALONE, 2)
    grown = as_ranks(folders["grown"], tokenizer, 3)
    close(whole, shrunk)
    close(whole, grown)
    rows = {name: read_jsonl(folder / "metrics.jsonl") for name, folder in folders.items()}
    for name in ("shrunk", "grown"):
        assert [row["iteration"] for row in rows[name]] == [0, 1, 2, 3]
        for row, other in zip(rows["one"], rows[name], strict=True):
            assert row == pytest.approx(other, abs=2e-4, rel=2e-4, nan_ok=True)
    one, ranks = contents(folders["one"], 2), contents(folders["shrunk"], 2)
    assert one.keys() == ranks.keys()
    close(one["state_dict"], ranks["state_dict"])
    close(one["rlhf"]["reference"], ranks["rlhf"]["reference"])
    (first,), (second,) = one["optimizer_states"], ranks["optimizer_states"]
    assert first["param_groups"] == second["param_groups"]
    assert first["state"].keys() == second["state"].keys()
    for number in first["state"]:
        close(first["state"][number], second["state"][number])


def test_a_loss_that_overflows_on_one_rank_is_told_by_both(tokenizer):
    def rank(number):
        module, batches = supervised("sft", tokenizer)
        nll = module.nll
        module.nll = lambda batch: nll(batch) * (math.inf if number else 1.0)
        try:
            train(module, batches, Ranks(rank=number, size=2), sharded=True)
        except NonFinite as error:
            return str(error)

    first, second = on_two_ranks(rank)
    assert first == second and first.startswith("sft, epoch 1, optimizer step 1: the loss is inf")
