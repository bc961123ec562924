"""One iteration of each stage on a device that is not the CPU, without a GPU (tests/devices.py): no
tensor may be made where it is not used."""

import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy

from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K3, Exact
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Both, Loss
from rlhf.kl.reference import EMA, SFT
from rlhf.modules.advantage import Advantages, PaddedGAE
from rlhf.modules.parts import CollectedMinibatches
from rlhf.modules.trust_region import Penalty
from rlhf.rundir.errors import Stopped
from rlhf.stages.context import StageContext
from tests.conftest import SMALL
from tests.devices import ELSEWHERE, Far, elsewhere
from tests.modules.algorithms.test_ppo import make
from tests.rewards.test_classifier import LABELS, save

CONF = Path(__file__).resolve().parents[1] / "conf"

# --- the device itself


def far(*numbers):
    return torch.tensor(numbers, device=ELSEWHERE)


def test_what_is_made_there_stays_there():
    with elsewhere():
        x = far(1.0, 2.0)
        assert isinstance(x + 1, Far) and (x + 1).device == ELSEWHERE
        assert torch.zeros_like(x).device == x.new_ones(3).device == ELSEWHERE
        assert x.cpu().device.type == "cpu" and not isinstance(x.to("cpu"), Far)
        assert torch.ones(2).to(x).device == ELSEWHERE and x.bool().to(ELSEWHERE).any()
        assert float(x.sum()) == 3.0 and x.tolist() == [1.0, 2.0]


MIXED = {
    "a sum": lambda x: x + torch.arange(2.0),
    "the CPU's tensor first": lambda x: torch.arange(2.0) * x,
    "a mask": lambda x: torch.where(torch.arange(2) < 1, x, 0.0),
    "a mask that fills": lambda x: x.masked_fill(torch.tensor([True, False]), 0.0),
    "a concatenation": lambda x: torch.cat([x, torch.zeros(1)]),
    "far indices of a near tensor": lambda x: torch.arange(2.0)[x.long()],
    "gather": lambda x: x.gather(0, torch.tensor([0])),
    "numpy": lambda x: x.numpy(),
}


@pytest.mark.parametrize("what", MIXED)
def test_what_cuda_refuses_is_refused(what):
    with elsewhere(), pytest.raises((RuntimeError, TypeError), match="device"):
        MIXED[what](far(0.0, 1.0))


def test_what_cuda_takes_is_taken():
    """Numbers, CPU tensors without dimensions, CPU indices, copies."""
    with elsewhere():
        x = far(0.0, 1.0)
        assert (x + torch.tensor(2.0)).tolist() == [2.0, 3.0]
        assert x[torch.tensor([1])].tolist() == [1.0]
        x[:1] = torch.tensor([5.0])
        assert x.copy_(x.cpu()).tolist() == [5.0, 1.0]


def test_weights_that_are_moved_stay_tied_and_learn():
    first, second = torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False)
    second.weight = first.weight
    both = torch.nn.ModuleList([first, second])
    with elsewhere():
        both.to(ELSEWHERE)
        assert first.weight is second.weight and first.weight.device == ELSEWHERE
        second(first(far(1.0, 1.0)[None])).sum().backward()
        assert first.weight.grad.device == ELSEWHERE
        torch.optim.Adam(both.parameters(), lr=0.1).step()
        both.cpu()
    assert type(first.weight) is torch.nn.Parameter and first.weight is second.weight


# --- PPO's module


def on(device):
    return SingleDeviceStrategy(device=device, accelerator=CPUAccelerator())


def fitted(module, device):
    pl.Trainer(
        strategy=on(device),
        max_epochs=module.iterations,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, CollectedMinibatches(module))
    return module


KINDS = {
    "default": lambda: {},
    "exact": lambda: {
        "kl": KLPenalty(Fixed(0.1), Exact(), Both(), SFT()),
        "trust_region": Penalty(coef=1.0, target=0.01),
    },
    "in the loss": lambda: {
        "kl": KLPenalty(Fixed(0.1), K3(), Loss(), EMA(decay=0.9)),
        "micro_batch_size": 4,
        "advantage": PaddedGAE(gamma=1.0, lam=1.0, whiten=True, whiten_rewards=True),
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_those_of_the_cpu(tokenizer, kind):
    near = fitted(make(tokenizer, iterations=1, **KINDS[kind]()), "cpu").record
    with elsewhere():
        there = fitted(make(tokenizer, iterations=1, **KINDS[kind]()), ELSEWHERE).record
    assert there == near


class Planted:
    """An advantage with the fault that is looked for: a mask that is made on the CPU."""

    needs_values = False

    def __call__(self, rewards, values, mask, groups):
        first = torch.arange(mask.shape[1]) < 1
        return Advantages(advantages=(rewards * first).sum(1, keepdim=True) * mask)


def test_a_planted_fault_is_seen(tokenizer):
    module = make(tokenizer, iterations=1, advantage=Planted(), valued=False)
    fitted(module, "cpu")
    with elsewhere(), pytest.raises(RuntimeError, match="two devices"):
        fitted(make(tokenizer, iterations=1, advantage=Planted(), valued=False), ELSEWHERE)


# --- whole runs


@pytest.fixture
def run_elsewhere(run_in, tmp_path, monkeypatch):
    """run_elsewhere(*overrides) -> summary: a run whose networks are on the other device, with the
    stages before it."""

    def go(*overrides, without="nothing"):
        with monkeypatch.context() as there, elsewhere():
            there.setattr(StageContext, "device", str(ELSEWHERE))
            there.setattr(SingleDeviceStrategy, "root_device", ELSEWHERE)
            return run_in(tmp_path / "run", *overrides, without=without)

    return go


BEST = ("best_of_n=default", "best_of_n.samples=2", "best_of_n.prompts=4")
RULES = ("vader", "length", "regex", "json", "function")
PPO = {
    "exact": ("kl=exact", "ppo.entropy_coef=0.01"),
    "sequence k2": ("kl=sequence_k2", "advantage=monte_carlo", "ppo.aggregation=sequence_sum"),
    "k3 in the loss": ("kl=grpo", "advantage=gae", "ppo.aggregation=fixed_length"),
    "k1, ema": ("kl/reference=ema", "trust_region=early_stop", "ppo.aggregation=sequence_mean"),
    "abs, synced": ("kl/estimator=abs", "kl/reference=synced", "kl.reference.every=1"),
    "alpaca_farm": ("kl=alpaca_farm", "advantage=alpaca_farm", "ppo.value_init=reward_backbone"),
    "controller": ("kl=ziegler", "ppo.critic_warmup=1", "ppo.iterations=2"),
    "cut draws": (
        *("kl=exact", "generation.top_k=5", "generation.temperature=0.7"),
        *("generation.top_p=0.9", "trust_region=penalty"),
    ),
    "stop strings": (
        "generation.stop=[good]",
        "ppo.micro_batch_size=2",
        "optimizer@ppo.optimizer=sgd",
    ),
    "drop": ("ppo.on_nonfinite=drop", "scorer.missing_eos=set", "scorer.missing_eos_value=-1"),
    "gpt2": ("model.architecture=gpt2", "optimizer@ppo.optimizer=adamw"),
    "ensemble": ("scorer=ensemble", "scorer.members=2", "scorer.how=mean_minus_std"),
    "gold": ("scorer=gold", "ppo.value_init=policy"),
    "lora": ("model/adapter=lora", "kl/reference=synced", "kl.reference.every=1"),
    "lora apart": ("model/adapter=lora", "model/sharing=separate", "kl=exact"),
    "head": ("model/adapter=head", "trainer.gradient_checkpointing=true"),
    "combined": (
        *("scorer=combined", "ppo.value_init=policy", "scorer.parts.regex.pattern=a"),
        "scorer.parts.function.function=tests.rewards.test_function.length",
        *(f"+scorer@scorer.parts.{rule}={rule}" for rule in RULES),
    ),
    "rloo": ("algorithm=rloo", "scorer=gold"),
    "reinforce": ("algorithm=reinforce", "algorithm.ratio=clipped"),
    "grpo": ("algorithm=grpo",),
    "dr_grpo": ("algorithm=dr_grpo", "ppo.micro_batch_size=2"),
    "dapo": ("algorithm=dapo",),
    "ppo_ptx": ("algorithm=ppo_ptx",),
    "dpo": ("algorithm=dpo", "advantage=none"),
    "quark": ("algorithm=quark",),
    "best_of_n": ("algorithm=best_of_n", "ppo.responses_per_prompt=4", "ppo.minibatch_size=2"),
    "expert_iteration": (
        *("algorithm=expert_iteration", "ppo.responses_per_prompt=4", "ppo.minibatch_size=2"),
        "algorithm.round_iterations=1",
    ),
    "bf16-mixed": ("trainer.precision=bf16-mixed",),
    "bf16-true": ("trainer.precision=bf16-true", "kl/reference=ema"),
}
ENUMERABLE = (
    *("data=micro", "ppo=micro", "advantage=exact", "scorer=micro", "callbacks=oracle"),
    *("data.max_response_tokens=2", "ppo.iterations=1", "ppo.critic_warmup=0", "tracking=none"),
    *("model.layers=1", "model.hidden_size=16", "ppo.rollout_size=16", "ppo.minibatch_size=8"),
    *("sft.epochs=1", "evaluation.prompts=4", "best_of_n=none"),
)


def test_the_whole_path(run_elsewhere):
    """SFT, reward model, PPO, best of n."""
    run_elsewhere("sft.seed=1", "reward_model.seed=1", "ppo.iterations=1", *BEST, without="best")


def test_a_head_alone(run_elsewhere):
    run_elsewhere("reward_model.trained=head", "stage=reward_model")


@pytest.mark.slow
def test_the_other_losses_of_the_stages_before(run_elsewhere):
    words = ("sft.train_on_prompt=true", "sft.trained=last:1")
    words += ("reward_model.margin=true", "reward_model.centering=0.1")
    run_elsewhere(*words, "stage=reward_model")


@pytest.mark.slow
@pytest.mark.parametrize("name", PPO)
def test_an_iteration_of_ppo(run_elsewhere, monkeypatch, name):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests.rewards.test_function")
    run_elsewhere("ppo.iterations=1", *PPO[name])


@pytest.mark.slow
def test_an_enumerable_problem(run_elsewhere):
    run_elsewhere(*ENUMERABLE, without="")


GPU_ALONE = {"adamw_8bit"}  # kernels of another package, which no CPU has


def test_every_option_is_there():
    """Of the groups whose pieces have to do with tensors; a classifier and answers have tests of
    their own below, the rest is in the config that all runs begin with."""
    words = {word for run in PPO.values() for word in run} | {*ENUMERABLE}
    presets = {
        **{"kl=exact": "exact both", "kl=sequence_k2": "k2 sequence_loss", "kl=grpo": "k3 loss"},
        "algorithm=grpo": "loss_without_ratio",
    }
    chosen = {word.split("=")[1] for word in words if "=" in word}
    chosen |= {name for word in words for name in presets.get(word, "").split()}
    default = {
        "adam",
        "k1",
        "reward",
        "sft",
        "none",
        "ppo",
        "reward_model",
        "default",
        "k1_clamped",
    }
    tested = chosen | default | {"classifier", "answer_match"}
    for group in (
        "kl/estimator",
        "kl/placement",
        "kl/reference",
        "advantage",
        "algorithm",
        "trust_region",
        "scorer",
        "optimizer",
    ):
        for path in (CONF / group).glob("*.yaml"):
            assert path.stem in tested | GPU_ALONE, f"{group}={path.stem}"


@pytest.mark.slow
def test_a_run_that_goes_on(run_elsewhere, stop_at):
    stop_at("ppo", 1, 15)
    words = ("kl/reference=ema", "ppo.iterations=2")
    with pytest.raises(Stopped):
        run_elsewhere(*words)
    run_elsewhere(*words)


@pytest.mark.slow
def test_a_classifier(run_elsewhere, tmp_path, tokenizer):
    judge = save(tmp_path / "judge", tokenizer, "bert", id2label=LABELS, pad_token_id=0)
    words = ("scorer=classifier", f"scorer.path={judge}", "scorer.label=POSITIVE")
    run_elsewhere(*words, "ppo.value_init=policy", "ppo.iterations=1")


@pytest.mark.slow
def test_answers(run_elsewhere, tmp_path):
    rows = [
        {"prompt": f"{i} and one ?", "completion": str(i + 1), "reference": str(i + 1)}
        for i in range(40)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ("data=files", f"data.demonstrations={file}", f"data.prompts={file}")
    small = [word for word in SMALL if not word.startswith("data.")]
    run_elsewhere(
        *(*data, "scorer=answer_match", "ppo.value_init=policy", "ppo.iterations=1", *small),
        "data.max_response_tokens=4",
        without="",
    )
