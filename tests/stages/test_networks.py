"""The networks that stages have in memory, and where their weights lie."""

import pytest
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import LlamaModel

from tests.stages import roles

pytestmark = pytest.mark.slow


@pytest.fixture
def watching(run_in, monkeypatch):
    """watching(callback, directory, *overrides)"""
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests")

    def go(callback, directory, *overrides):
        roles.SEEN.clear()
        run_in(directory, *overrides, f"+callbacks.own._target_=tests.stages.roles.{callback}")

    yield go
    roles.SEEN.clear()


def test_the_policy_goes_before_the_reward_model_is_trained(watching, tmp_path):
    before = {id(network) for network in roles.whole_networks()}
    own = f"paths.artifacts={tmp_path / 'artifacts'}"
    watching("Alive", tmp_path / "run", own, "stage=reward_model")
    kinds = {
        stage: [kind for which, kind in networks.items() if which not in before]
        for stage, networks in roles.SEEN.items()
    }
    assert kinds == {
        "sft": ["LlamaForCausalLM"],
        "reward_model": ["LlamaForSequenceClassification"],
    }


def test_a_reward_model_on_the_models_own_network_has_it_once(run_in, tmp_path):
    """The responses that it is normalised on are drawn with the network that it stands beside."""
    words = ["model/adapter=lora", f"paths.artifacts={tmp_path / 'artifacts'}"]
    run_in(tmp_path / "sft", *words, "stage=sft")
    networks = {}

    def hook(module, given):
        if isinstance(module, LlamaModel):
            networks[id(module)] = module

    handle = register_module_forward_pre_hook(hook)
    try:
        run_in(tmp_path / "run", *words, "stage=reward_model", "reward_model.init=model")
    finally:
        handle.remove()
    assert len(networks) == 1


@pytest.mark.parametrize("reference", ["sft", "synced", "ema"])
def test_the_references_weights_lie_as_the_policys(watching, tmp_path, reference):
    """A kernel may ask for it: else the first KL would be that of two kernels."""
    watching("Places", tmp_path / "run", f"kl/reference={reference}")
    policy, moving, start = roles.SEEN["places"]
    assert policy == moving == start
    assert roles.SEEN["same"] == (reference == "sft")
