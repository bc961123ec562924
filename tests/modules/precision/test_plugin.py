"""Whole runs and short fits in `bf16-true`: what is float32, what is bfloat16, and when."""

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1, Exact
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Both, Reward
from rlhf.kl.reference import EMA, Synced
from rlhf.modules.parts import CollectedMinibatches
from rlhf.modules.precision.plugin import Bfloat16
from tests.modules.algorithms.test_ppo import make


def trainer_of(module, *, plugin=True, precision=None, accumulate=1, callbacks=()):
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=module.iterations,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[Bfloat16()] if plugin else [],
        precision=precision,
        callbacks=list(callbacks),
    )


def fitted(module, **how):
    trainer_of(module, **how).fit(module, CollectedMinibatches(module))
    return module


class Watch(pl.Callback):
    """The types of weights and moments at each step, and the state as a checkpoint has it."""

    def __init__(self):
        self.seen, self.states = set(), []

    def on_train_batch_end(self, trainer, pl_module, *rest):
        optimizer = trainer.optimizers[0]
        for name, weights in (
            ("policy", pl_module.policy.parameters()),
            ("values", pl_module.value_model.parameters()),
            ("reference", pl_module.parts.reference.model.parameters()),
            ("stepped", (p for g in optimizer.param_groups for p in g["params"])),
            ("moment", (s["exp_avg"] for s in optimizer.state.values())),
        ):
            self.seen |= {(name, weight.dtype) for weight in weights}

    def on_train_epoch_end(self, trainer, pl_module):
        self.states.append(
            {k: v.clone() for k, v in pl_module.state_dict().items() if v.is_floating_point()}
        )


NARROW, WIDE = torch.bfloat16, torch.float32


def test_types_and_what_is_left(tokenizer):
    watch = Watch()
    module = fitted(make(tokenizer, lr=1e-3), callbacks=[watch])
    assert watch.seen == {
        ("policy", NARROW),
        ("values", NARROW),
        ("reference", NARROW),
        ("stepped", WIDE),
        ("moment", WIDE),
    }
    # the state that a checkpoint has is that of the masters, and they are what remains
    assert all(value.dtype == WIDE for value in watch.states[-1].values())
    left = module.state_dict()
    assert all(torch.equal(left[name], value) for name, value in watch.states[-1].items())
    weights = [p for p in module.policy.parameters() if p.dim() > 1]
    assert any((w != w.bfloat16()).any() for w in weights) and module.masters is None


def test_the_first_kl_is_zero_and_the_first_step_is_of_the_rollouts_policy(tokenizer):
    record = fitted(make(tokenizer, lr=1e-3, iterations=1, inner_epochs=1)).record
    assert record["kl/sequence_nats"] == 0.0 and record["kl/sequence_nats_exact"] == 0.0
    assert record["rollout/logp_off"] == 0.0 and 0 < record["rollout/logp_gap_mean"] < 0.1


@pytest.mark.parametrize("plugin", [True, False])
def test_small_steps_are_kept(tokenizer, plugin):
    """Steps of 1e-6 (Adam's are as large as its rate) stay in the weights, as in float32."""
    module = make(tokenizer, lr=1e-6, iterations=1)
    before = {name: value.clone() for name, value in module.policy.state_dict().items()}
    fitted(module, plugin=plugin)
    after = module.policy.state_dict()
    moved = torch.cat([(after[n] - before[n]).abs().flatten() for n in before])
    assert 1e-7 < moved[moved > 0].mean() < 1e-5 and (moved > 0).float().mean() > 0.5


def test_a_step_is_the_same_for_every_split(tokenizer):
    """Gradients of micro-batches are added up in float32: two splits are as far apart as their
    roundings to 16 bits."""
    records = []
    for size in (8, 2):
        module = make(tokenizer, lr=1e-3, iterations=1, inner_epochs=1, micro_batch_size=size)
        records.append(fitted(module, accumulate=8 // size).record)
    for name in ("ppo/policy_loss", "ppo/grad_norm"):
        assert records[0][name] == pytest.approx(records[1][name], rel=0.02, abs=1e-3), name


@pytest.mark.parametrize("reference", [EMA(decay=0.999), Synced(every=1)])
def test_a_reference_that_moves_moves_in_float32(tokenizer, reference):
    """ema: ref + 0.001 (policy - ref) is a step that bfloat16 loses; synced: the policy's masters,
    so their KL is 0 again."""
    module = make(
        tokenizer,
        lr=1e-3,
        iterations=1,
        reference_seed=0,
        start=make(tokenizer).parts.reference.model,
        kl=KLPenalty(Fixed(0.1), K1(), Reward(), reference),
    )
    before = {n: v.clone() for n, v in module.policy.state_dict().items() if v.dim() > 1}
    trainer = trainer_of(module)
    kept = []

    class Keep(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            kept.append(pl_module.extra_state()["reference"])

    trainer.callbacks.append(Keep())
    trainer.fit(module, CollectedMinibatches(module))
    policy, (kept_reference,) = module.policy.state_dict(), kept
    share = 0.001 if isinstance(reference, EMA) else 1.0
    for name, old in before.items():
        expected = torch.lerp(old, policy[name], share)
        assert kept_reference[name].dtype == WIDE
        assert torch.allclose(kept_reference[name], expected, rtol=0, atol=1e-7), name
    here = module.parts.reference.model.state_dict()  # after the end, in float32 again
    assert all(torch.equal(here[name], kept_reference[name]) for name in before)


class VocabularyReductions(TorchDispatchMode):
    """Notes what reduces a bfloat16 tensor whose last dimension is the vocabulary."""

    REDUCE = ("softmax", "logsumexp", "sum", "mean", "amax", "max", "cumsum", "topk", "sort", "exp")

    def __init__(self, vocabulary):
        super().__init__()
        self.vocabulary, self.found, self.logits = vocabulary, [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        wide = [
            x
            for x in args
            if isinstance(x, torch.Tensor) and x.dim() and x.shape[-1] == self.vocabulary
        ]
        narrow = [x for x in wide if x.dtype == NARROW and x.dim() > 2]
        self.logits += bool(narrow)
        name = func._schema.name.split("::")[1]
        if narrow and any(word in name for word in self.REDUCE):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("how", [{"plugin": True}, {"plugin": False, "precision": "bf16-mixed"}])
def test_nothing_is_reduced_over_the_vocabulary_in_16_bits(tokenizer, how):
    module = make(
        tokenizer,
        iterations=1,
        entropy_coef=0.01,
        kl=KLPenalty(Fixed(0.1), Exact(), Both(), Synced(every=1)),
    )
    watch = VocabularyReductions(len(tokenizer))
    with watch:
        fitted(module, **how)
    assert watch.logits > 10  # there were logits of 16 bits
    assert watch.found == []


def test_a_head_on_a_frozen_backbone(run_in, tmp_path):
    """It reads states that were made in float32, before the fit."""
    words = ("trainer.precision=bf16-true", "reward_model.trained=head", "stage=reward_model")
    assert run_in(tmp_path / "run", *words)["val/accuracy"] > 0


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "optimizer", ["adam", pytest.param("adamw", marks=SLOW), pytest.param("sgd", marks=SLOW)]
)
def test_resumes_to_the_same_bytes(run_in, tmp_path, stop_at, optimizer):
    from rlhf.rundir.errors import Stopped

    words = ("trainer.precision=bf16-true", f"optimizer@ppo.optimizer={optimizer}")
    words += ("kl/reference=ema", "ppo.optimizer.lr=1e-3") if optimizer == "adam" else ()
    run_in(tmp_path / "whole", *words)
    stop_at("ppo", 2, 15)
    with pytest.raises(Stopped):
        run_in(tmp_path / "stopped", *words)
    run_in(tmp_path / "stopped", *words)
    for file in ("metrics.jsonl", "samples.jsonl", "policy/model.safetensors"):
        whole, stopped = (tmp_path / run / file for run in ("whole", "stopped"))
        assert whole.read_bytes() == stopped.read_bytes(), file
    weights = load_file(tmp_path / "whole" / "policy" / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {WIDE}
