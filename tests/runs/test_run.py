"""Whole runs: what they write, that they repeat, that a stopped one goes on as if nothing had
been."""

import json
import signal
import socket

import pytest

from rlhf.config.compose import compose
from rlhf.config.naming import HASH_VERSION
from rlhf.config.validate import ConfigError
from rlhf.metrics import METRICS
from rlhf.rundir.errors import RunFailed, Stopped
from rlhf.rundir.files import read_jsonl, write_json
from rlhf.rundir.noted import write_manifest
from rlhf.rundir.read import read_json
from rlhf.rundir.status import read_status
from rlhf.runs import execute
from rlhf.stages.provenance.whole import sealed
from rlhf.tracking.ended.deliver import pending
from rlhf.tracking.state import read_state

CONTROLLERS = {
    "fixed": [],
    "adaptive": ["kl.controller.target=0.05"],
    "adaptive_alpaca_farm": ["kl.controller.target=0.05"],
    "linear": [],
    "cosine": [],
    "pid": ["kl.controller.target=0.05"],
    "dual": ["kl.controller.target=0.05"],
}


def test_what_a_run_leaves(run_in, tmp_path):
    summary = run_in(tmp_path / "run")
    directory = tmp_path / "run"
    for name in (
        "config.yaml",
        "manifest.json",
        "metrics.jsonl",
        "timings.jsonl",
        "samples.jsonl",
        "by_prompt.jsonl",
        "status.json",
        "summary.json",
    ):
        assert (directory / name).exists(), name
    assert (directory / "policy" / "model.safetensors").exists() and (
        directory / "policy" / "tokenizer.json"
    ).exists()
    assert read_json(directory / "summary.json") == summary
    records = read_jsonl(directory / "metrics.jsonl")
    assert [row["iteration"] for row in records] == [0, 1, 2, 3, 4]
    named = {key.removeprefix("eval/").removesuffix("_se") for row in records for key in row}
    assert named - {"iteration"} <= set(METRICS)  # each has a title, a unit and a direction
    assert (
        summary["reward/gold"] == records[-1]["eval/reward/gold"]
        and summary["sft/reward/gold"] == records[0]["eval/reward/gold"]
    )
    assert summary["objective"] == pytest.approx(
        summary["reward/proxy"] - 0.05 * summary["kl/sequence_nats"]
    )
    assert records[0]["eval/kl/sequence_nats"] == 0 and abs(records[1]["kl/sequence_nats"]) < 1e-5
    assert "eval/reward/gold" not in records[1] and "eval/reward/gold" in records[2]
    manifest = read_json(directory / "manifest.json")
    assert set(manifest["fingerprints"]) == {"sft", "reward_model", "data"}
    assert set(summary["fingerprints"]) == {*manifest["fingerprints"], "ppo"}
    assert manifest["hash_version"] == HASH_VERSION
    assert read_status(directory)["state"] == "finished"
    assert len(read_jsonl(directory / "samples.jsonl")) == 6
    by_prompt = read_jsonl(directory / "by_prompt.jsonl")
    assert [row["iteration"] for row in by_prompt] == [0, 2, 4]
    assert len({row["prompts"] for row in by_prompt}) == 1
    last = by_prompt[-1]
    count = sum(last["responses"])
    for key in ("reward/gold", "reward/proxy", "kl/sequence_nats"):
        pairs = zip(last[key], last["responses"], strict=True)
        assert sum(x * n for x, n in pairs) / count == pytest.approx(summary[key], abs=1e-4)


def test_its_policy_is_an_artifact(run_in, tmp_path, caplog):
    """Model, tokenizer and manifest; on disk the weights are there once. A run of the same config
    finds it and leaves it as it is, whatever its own weights are."""
    store = [f"paths.artifacts={tmp_path / 'artifacts'}"]
    summary = run_in(tmp_path / "run", *store)
    artifact = tmp_path / "artifacts" / "ppo" / summary["fingerprints"]["ppo"]
    kept = sorted(path.name for path in (tmp_path / "run" / "policy").iterdir())
    assert sorted(path.name for path in artifact.iterdir()) == sorted([*kept, "manifest.json"])
    assert "model.safetensors" in kept and "tokenizer.json" in kept
    weights = [place / "model.safetensors" for place in (artifact, tmp_path / "run" / "policy")]
    assert weights[0].samefile(weights[1])
    made = read_json(artifact / "manifest.json")
    assert (made["kind"], made["stage"], made["hash"]) == ("artifact", "ppo", artifact.name)
    assert made["run"] == str(tmp_path / "run") and made["seed"] == summary["seed"]
    assert made["fingerprints"] == {k: v for k, v in summary["fingerprints"].items() if k != "ppo"}
    assert made["metrics"]["reward/gold"] == summary["reward/gold"]
    assert made["config"]["kl"]["coef"] == 0.05 and set(made["data"]) >= {"prompts"}

    written = (artifact / "manifest.json").stat().st_mtime_ns
    again = run_in(tmp_path / "again", *store, "study=other", "rerun=true")
    assert again["fingerprints"] == summary["fingerprints"]
    assert (artifact / "manifest.json").stat().st_mtime_ns == written
    assert "is left as it is" not in caplog.text
    write_json(artifact / "manifest.json", sealed({**made, "policy_sha256": "other"}, artifact))
    run_in(tmp_path / "third", *store)
    (message,) = [text for text in caplog.messages if "is left as it is" in text]
    assert str(artifact) in message and "whose weights differ from this run's" in message
    assert read_json(artifact / "manifest.json")["policy_sha256"] == "other"
    assert (tmp_path / "third" / "policy" / "model.safetensors").is_file()


def test_seed_repeat(run_in, tmp_path):
    """Two runs of one config write the same metrics and weights; another seed does not."""
    one, two, other = (
        run_in(tmp_path / name, f"seed={seed}") for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (
        tmp_path / "b" / "metrics.jsonl"
    ).read_bytes()
    assert one["policy_sha256"] == two["policy_sha256"] != other["policy_sha256"]


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_resume_exact(run_in, stop_at, tmp_path, controller):
    """Stopped after two of four iterations and started again: the same bytes as a run that
    nobody stopped."""
    overrides = [f"kl/controller={controller}", *CONTROLLERS[controller]]
    whole = run_in(tmp_path / "whole", *overrides)
    stop_at("ppo", 2, signal.SIGTERM)
    with pytest.raises(Stopped) as stopped:
        run_in(tmp_path / "cut", *overrides)
    assert stopped.value.exit_code == 143 and read_status(tmp_path / "cut")["state"] == "stopped"
    assert not (tmp_path / "cut" / "summary.json").exists()
    resumed = run_in(tmp_path / "cut", *overrides)
    assert resumed["policy_sha256"] == whole["policy_sha256"]
    assert (tmp_path / "cut" / "metrics.jsonl").read_bytes() == (
        tmp_path / "whole" / "metrics.jsonl"
    ).read_bytes()
    assert resumed["kl.coef_final"] == whole["kl.coef_final"]
    if controller != "fixed":
        assert whole["kl.coef_final"] != whole["kl.coef"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["kl/reference=ema"],
        ["kl/reference=synced", "kl.reference.every=2"],
        ["trust_region=penalty"],
        ["trust_region=early_stop"],
        ["ppo.micro_batch_size=4", "ppo.lr_schedule=cosine", "ppo.lr_warmup=0.5"],
        ["ppo.checkpoint_every=3"],
        ["model.architecture=gpt2"],
        ["kl=exact"],
        ["kl=grpo"],
    ],
    ids=" ".join,
)
def test_resume_exact_with_everything_else_that_has_state(run_in, stop_at, tmp_path, overrides):
    whole = run_in(tmp_path / "whole", *overrides)
    stop_at("ppo", 2, signal.SIGINT)
    with pytest.raises(Stopped) as stopped:
        run_in(tmp_path / "cut", *overrides)
    assert stopped.value.exit_code == 130
    assert run_in(tmp_path / "cut", *overrides)["policy_sha256"] == whole["policy_sha256"]
    assert (tmp_path / "cut" / "metrics.jsonl").read_bytes() == (
        tmp_path / "whole" / "metrics.jsonl"
    ).read_bytes()


@pytest.mark.parametrize("stage", ["sft", "reward_model"])
def test_stages_resume_exactly(run_in, stop_at, tmp_path, stage):
    """Stopped after its first epoch and started again, a stage gives the artifact of an
    uninterrupted one."""
    overrides = [f"stage={stage}", f"{stage}.epochs=3"]
    whole = run_in(tmp_path / "whole", *overrides, f"paths.artifacts={tmp_path / 'one'}")
    stop_at(stage, 1, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "cut", *overrides, f"paths.artifacts={tmp_path / 'two'}")
    assert list((tmp_path / "two" / stage).glob("*.work"))
    resumed = run_in(tmp_path / "cut", *overrides, f"paths.artifacts={tmp_path / 'two'}")
    assert resumed["fingerprints"] == whole["fingerprints"]
    a, b = (tmp_path / side / stage / whole["fingerprints"][stage] for side in ("one", "two"))
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    assert not list((tmp_path / "two" / stage).glob("*.work"))


def test_a_finished_run_is_left_as_it_is(run_in, tmp_path):
    first = run_in(tmp_path / "run")
    before = {
        p: p.stat().st_mtime_ns
        for p in (tmp_path / "run").rglob("*")
        if p.is_file() and p.name != ".lock"
    }
    assert run_in(tmp_path / "run") == first
    assert before == {
        p: p.stat().st_mtime_ns
        for p in (tmp_path / "run").rglob("*")
        if p.is_file() and p.name != ".lock"
    }


def test_a_damaged_last_checkpoint_costs_one_iteration_not_the_run(run_in, stop_at, tmp_path):
    whole = run_in(tmp_path / "whole")
    stop_at("ppo", 3, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "cut")
    last = sorted((tmp_path / "cut" / "checkpoints").glob("*.ckpt"))[-1]
    last.write_bytes(last.read_bytes()[:-50])
    assert run_in(tmp_path / "cut")["policy_sha256"] == whole["policy_sha256"]
    assert (tmp_path / "cut" / "metrics.jsonl").read_bytes() == (
        tmp_path / "whole" / "metrics.jsonl"
    ).read_bytes()


def test_a_directory_of_another_version_of_the_hash_is_not_gone_on_with(run_in, stop_at, tmp_path):
    """A manifest without a version is of the first."""
    stop_at("ppo", 1, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "run")
    manifest = read_json(tmp_path / "run" / "manifest.json")
    del manifest["hash_version"]
    write_manifest(tmp_path / "run" / "manifest.json", manifest)
    with pytest.raises(RunFailed, match=f"before version {HASH_VERSION} of the run hash"):
        run_in(tmp_path / "run")


def test_a_directory_of_another_config_is_refused(run_in, stop_at, tmp_path):
    stop_at("ppo", 1, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "run")
    with pytest.raises(RunFailed, match="another config"):
        run_in(tmp_path / "run", "kl.coef=0.9")


def test_a_failure_is_written_down(run_in, tmp_path, monkeypatch):
    from rlhf.modules.algorithms.ppo import PPOModule

    monkeypatch.setattr(PPOModule, "score", lambda self, rollout: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_in(tmp_path / "run")
    status = read_status(tmp_path / "run")
    assert (status["state"], status["exit_code"]) == (
        "failed",
        1,
    ) and "ZeroDivisionError" in status["error"]
    monkeypatch.undo()
    assert run_in(tmp_path / "run")["status"] == "finished"


def test_mixed_precision_reads_rollouts_as_updates_do(run_in, tmp_path):
    """In bfloat16 too the first ratios are 1 (or the sampled tokens would look moved before any
    step) and the first KL is 0."""
    run_in(
        tmp_path / "run",
        "trainer.precision=bf16-mixed",
        "ppo.inner_epochs=1",
        "ppo.minibatch_size=16",
    )
    first = read_jsonl(tmp_path / "run" / "metrics.jsonl")[1]
    assert first["ppo/log_ratio_max"] < 1e-5 and abs(first["kl/sequence_nats"]) < 1e-5


def test_gold_as_the_scorer_needs_no_reward_model(run_in, tmp_path):
    summary = run_in(tmp_path / "run", "scorer=gold", "ppo.value_init=policy")
    assert "reward/proxy" not in summary and "reward_model" not in summary["fingerprints"]
    assert summary["objective"] == pytest.approx(
        summary["reward/gold"] - 0.05 * summary["kl/sequence_nats"]
    )


def test_the_objective_has_the_coefficient_in_force(run_in, tmp_path):
    """From 0.05 to 0.5: the last rollout was shaped by 0.5, which is the run's own trade."""
    summary = run_in(tmp_path / "run", "kl/controller=linear", "kl.controller.final=0.5")
    assert (summary["kl.coef"], summary["kl.coef_final"]) == (0.05, 0.5)
    assert summary["kl/sequence_nats"] != 0
    assert summary["objective"] == pytest.approx(
        summary["ppo/score"] - 0.5 * summary["kl/sequence_nats"]
    )


def test_temperature_and_cuts_are_told_in_the_log_and_in_the_summary(run_in, tmp_path, caplog):
    own = ["scorer=gold", "ppo.value_init=policy", "kl=exact", "ppo.iterations=2"]
    plain = run_in(tmp_path / "plain", *own)
    assert plain["warnings"] == [] and "kl/plain/sequence_nats" not in plain and not caplog.messages
    assert plain["kl.descends"].startswith("the sequence KL, exactly")
    cut = run_in(tmp_path / "cut", *own, "generation.temperature=0.8", "generation.top_p=0.9")
    assert len(cut["warnings"]) == 2 and cut["warnings"] == caplog.messages
    assert cut["kl/plain/sequence_nats_exact"] > 0 and cut["kl/plain/sequence_nats_se"] > 0


def test_grad_reward_vs_loss_of_whole_responses_trains(run_in, tmp_path):
    """kl=sequence_k2 from the command line to the summary, two inner epochs off policy."""
    summary = run_in(
        tmp_path / "run",
        "scorer=gold",
        "ppo.value_init=policy",
        "kl=sequence_k2",
        "ppo.inner_epochs=2",
    )
    assert (summary["kl.estimator"], summary["kl.placement"]) == ("k2", "sequence_loss")
    assert (
        summary["kl.descends"] == "the sequence KL, exactly" and summary["kl/sequence_nats_k3"] > 0
    )


def test_config_roundtrip(run_in, tmp_path):
    """The config that was written down is the config: the same hash after a trip through YAML."""
    import yaml

    from rlhf.config.naming import run_hash

    summary = run_in(tmp_path / "run")
    plain = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (
        run_hash(plain)
        == summary["config_hash"]
        == read_json(tmp_path / "run" / "manifest.json")["hash"]
    )
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize("stage", ["sft", "reward_model"])
def test_a_signal_in_the_last_epoch_of_a_stage_ends_the_run(run_in, stop_at, tmp_path, stage):
    overrides = [f"paths.artifacts={tmp_path / 'artifacts'}"]
    stop_at(stage, 2, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "run", *overrides)
    assert read_status(tmp_path / "run")["stage"] == stage
    assert run_in(tmp_path / "run", *overrides)["status"] == "finished"


def test_a_finished_run_of_other_data_is_not_passed_off_as_this_one(run_in, tmp_path, monkeypatch):
    from rlhf.data.records import TaskData

    run_in(tmp_path / "run")
    monkeypatch.setattr(TaskData, "fingerprint", "other")
    with pytest.raises(RunFailed, match="data changed"):
        run_in(tmp_path / "run")


@pytest.mark.slow
def test_what_a_dead_server_did_not_take_any_later_command_delivers(
    run_in, store, client, tmp_path
):
    """SFT, reward model and PPO; by the same command, and by another that uses the stages."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    stages = tmp_path / "artifacts"
    tracked = [
        "tracking=mlflow",
        f"tracking.uri={gone}",
        "tracking.experiment=unit",
        f"paths.artifacts={stages}",
    ]

    def run(name, *overrides):
        run_in(tmp_path / name, *tracked, *overrides, without=("tracking", "sft.epochs"))

    def back(*places):
        """The server is back: here at another address, which only the states name."""
        for place in places:
            write_json(place / "tracking.json", {**read_state(place), "uri": store})

    run("sft", "stage=sft")
    (sft,) = stages.glob("sft/[!.]*[!k]")
    assert pending(sft)
    back(sft)
    run("sft", "stage=sft")
    assert not pending(sft)

    run("one")
    (reward_model,) = stages.glob("reward_model/[!.]*[!k]")
    assert pending(reward_model) and pending(tmp_path / "one")
    back(reward_model, tmp_path / "one")
    tracked[1] = f"tracking.uri={store}"
    run("other", "kl.coef=0.2")
    assert not pending(reward_model) and not pending(tmp_path / "other")
    assert pending(tmp_path / "one")
    run("one")
    assert not pending(tmp_path / "one")
    ended = {
        client.get_run(read_state(place)["run_id"]).info.status
        for place in (sft, reward_model, tmp_path / "one", tmp_path / "other")
    }
    assert ended == {"FINISHED"}


def test_a_store_that_cannot_be_used_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database\n" * 500)
    config = compose(["tracking=mlflow", f"paths.outputs={tmp_path}"])
    with pytest.raises(ConfigError, match="is no sqlite database"):
        execute.run(config)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
