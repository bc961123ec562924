"""Small whole runs: half a second each once SFT and reward model are there."""

import pytest

SMALL = [
    "data.demonstrations=64", "data.pairs=48", "data.prompts=64", "data.max_response_tokens=8",
    "model.hidden_size=16", "model.layers=1", "model.heads=2",
    "sft.epochs=2", "sft.batch_size=16", "reward_model.epochs=2", "reward_model.batch_size=16", "reward_model.normalize_samples=32",
    "ppo.iterations=4", "ppo.rollout_size=16", "ppo.minibatch_size=8", "ppo.eval_prompts=8", "ppo.eval_samples=2", "ppo.eval_every=2",
    "ppo.checkpoint_every=1", "tracking=none", "callbacks=none", "best_of_n=none",
]  # fmt: skip


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def run_in(artifacts):
    """run_in(directory, *overrides, without=prefix) -> summary: one run in this process; stages are shared by all tests."""

    def go(directory, *overrides, without="nothing"):
        from omegaconf import OmegaConf

        from rlhf.config.compose import compose, validate
        from rlhf.pipeline.run import run

        small = [override for override in SMALL if not override.startswith(without)]
        composed = compose([*small, f"paths.artifacts={artifacts}", *overrides])
        plain = OmegaConf.to_container(composed, resolve=True)
        return run(validate(composed), plain=plain, directory=directory)

    return go


@pytest.fixture
def stop_at(monkeypatch):
    """stop_at(stage, iteration, signal): the process gets the signal when that iteration has just been recorded."""
    import os

    from rlhf.callbacks import recorder

    def arrange(stage, iteration, number):
        original = recorder.write_status
        sent = []

        def write(directory, **status):
            original(directory, **status)
            if not sent and (status.get("stage"), status.get("iteration")) == (stage, iteration):
                sent.append(1)
                os.kill(os.getpid(), number)

        monkeypatch.setattr(recorder, "write_status", write)

    return arrange
