"""Whole runs whose policies are mixed with their SFT policy."""

import json
from pathlib import Path

import pytest
import torch

from rlhf.commands.runs.realign import main
from rlhf.export.kept import rendering_of
from rlhf.export.made import find
from rlhf.models.load import load_causal_lm
from rlhf.randomness import generator
from rlhf.realign.finished import folders_of
from rlhf.rollout.engines.base import Sampling, Stops
from rlhf.rollout.engines.torch import TorchEngine
from rlhf.rundir import noted
from rlhf.rundir.read import read_json

LINES = ("ppo.iterations=3", "evaluation.every=3", "ppo.optimizer.lr=5e-3", "kl.coef=0.02")
ENDING = ("realign=default", "realign.lambdas=[0,0.5,1]", "realign.samples=2")


def points(directory, way="decoding"):
    curves = json.loads((directory / "realign.json").read_text())["curves"]
    return {
        point["lambda"]: point
        for curve in curves
        if curve["by"] == way
        for point in curve["points"]
    }


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    return tmp_path_factory.mktemp("realign")


@pytest.fixture
def run(run_in, ran):
    """A finished run without a curve, made once."""
    if not (ran / "run").exists():
        run_in(ran / "run", *LINES)
    return ran / "run"


def test_a_runs_end_and_the_command_give_the_same_curve(run_in, run, tmp_path, capsys):
    """SFT at 0, the run's policy at 1, both ways, and what lies between lies between."""
    summary = run_in(tmp_path / "ended", *LINES, *ENDING)
    assert main([str(run), "--lambda", "1,0.5,0", "--samples", "2"]) == 0
    shown = capsys.readouterr().out
    assert "lambda" in shown and str(run / "realign.json") in shown
    ended, later = (read_json(place / "realign.json") for place in (tmp_path / "ended", run))
    assert ended["timings"].pop("decoding") > 0 < later["timings"].pop("weights")
    assert ended | {"timings": 0} == later | {"timings": 0}
    assert (ended["prompts"], ended["responses"], ended["seed"]) == (8, 16, 0)
    for way in ("decoding", "weights"):
        curve = points(run, way)
        assert [*curve] == [0.0, 0.5, 1.0]
        nats = [curve[weight]["kl/sequence_nats_exact"] for weight in curve]
        assert nats[0] == pytest.approx(0, abs=1e-6) and nats[0] < nats[1] < nats[2]
        assert all(curve[0.5][f"{name}_se"] > 0 for name in ("kl/sequence_nats", "reward/gold"))
        assert {"reward/proxy", "response/length", "response/ended"} <= curve[0.5].keys()
    # the same random numbers: at the ends both ways are the same responses
    for weight in (0.0, 1.0):
        ways = [points(run, way)[weight] for way in ("decoding", "weights")]
        for name in ("reward/gold", "response/length", "response/ended"):
            assert ways[0][name] == ways[1][name]
        assert ways[0]["kl/sequence_nats"] == pytest.approx(ways[1]["kl/sequence_nats"], abs=1e-4)
    assert summary["kl/sequence_nats"] > 0


def test_the_ends_have_the_tokens_of_the_plain_engines(run):
    """The gold rewards of responses that the SFT policy and the policy draw by themselves."""
    assert main([str(run), "--lambda", "0,1", "--seed", "3"]) == 0
    made = find(run)
    from rlhf.config.build import build
    from rlhf.config.validate import validate
    from rlhf.data.collate import collate_prompts
    from rlhf.data.records import Loaded
    from rlhf.rollout.engines.base import decode

    cfg = validate(made.config)
    loaded, folders = Loaded.of(build(cfg.data)), folders_of(made)
    rendering = rendering_of(folders.policy, made)
    batch = collate_prompts(rendering, loaded.data.prompts.heldout[: cfg.evaluation.prompts], None)
    stops = Stops.of(rendering)
    for weight, folder in ((0.0, folders.start), (1.0, folders.policy)):
        engine = TorchEngine(load_causal_lm(folder), stops, rendering.pad_id, rendering.tokenizer)
        settings = Sampling(max_new_tokens=cfg.generation.max_new_tokens)
        rollout = engine.respond(batch, settings, generator(3, "realign", "responses"))
        gold = loaded.source.gold(batch.texts, decode(rollout, rendering.tokenizer, stops))
        for way in ("decoding", "weights"):
            point = points(run, way)[weight]
            assert point["reward/gold"] == pytest.approx(torch.tensor(gold).mean().item())
            assert point["response/length"] == rollout.mask.sum(1).float().mean().item()


def test_a_curve_is_noted_and_replaced_whole(run, run_in, caplog):
    """The run stays finished and whole with it, with another, and where it is damaged."""
    assert main([str(run), "--lambda", "0.5", "--by", "weights"]) == 0
    assert noted.is_noted(run, "realign.json", (run / "realign.json").read_bytes())
    assert noted.is_complete(run) and noted.manifest_damage(run) == ""
    first = (run / "realign.json").read_bytes()
    assert main([str(run), "--lambda", "0.5", "--by", "weights", "--seed", "1"]) == 0
    assert noted.is_complete(run) and (run / "realign.json").read_bytes() != first
    summary = (run / "summary.json").read_bytes()
    (run / "realign.json").write_text("{}")
    assert noted.losses(run) == {"realign.json": "realign.json is not what was written"}
    run_in(run, *LINES)
    assert "rlhf realign does it again" in caplog.text
    assert noted.is_complete(run) and (run / "summary.json").read_bytes() == summary


def test_a_way_that_is_measured_later_leaves_the_other_its_curve(run):
    """Of the same prompts, responses and seed; else, or where it was damaged, it is gone."""

    def curves(*words):
        assert main([str(run), "--lambda", "0.5", *words]) == 0
        whole = read_json(run / "realign.json")
        assert {curve["by"] for curve in whole["curves"]} == whole["timings"].keys()
        return whole["curves"]

    both = curves()
    assert [curve["by"] for curve in both] == ["decoding", "weights"]
    assert curves("--by", "weights") == both and curves("--by", "decoding") == both
    later = curves("--by", "weights", "--lambda", "1")
    assert later[0] == both[0] and [point["lambda"] for point in later[1]["points"]] == [1.0]
    assert noted.is_complete(run)
    (run / "realign.json").write_text((run / "realign.json").read_text() + " ")
    assert [curve["by"] for curve in curves("--by", "weights")] == ["weights"]
    assert len(curves()) == 2
    assert len(curves("--by", "weights", "--seed", "1")) == 1


def test_a_curve_of_before_is_no_curve_of_a_run_that_is_made_again(run_in, tmp_path):
    run_in(tmp_path / "run", *LINES, *ENDING)
    (tmp_path / "run" / "summary.json").unlink()
    run_in(tmp_path / "run", *LINES)
    assert not (tmp_path / "run" / "realign.json").exists()
    assert noted.is_complete(tmp_path / "run")


@pytest.mark.slow
def test_killed_while_it_is_measured_it_is_measured_by_the_same_command(
    run_in, tmp_path, monkeypatch
):
    """What was trained stays; the curve is that of a run that nobody stopped."""
    from rlhf.runs import run as runs

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs, "at_the_end", killed)
        with pytest.raises(KeyboardInterrupt):
            run_in(tmp_path / "cut", *LINES, *ENDING)
    trained = (tmp_path / "cut" / "metrics.jsonl").read_bytes()
    run_in(tmp_path / "cut", *LINES, *ENDING)
    run_in(tmp_path / "whole", *LINES, *ENDING)
    cut, whole = (read_json(tmp_path / name / "realign.json") for name in ("cut", "whole"))
    assert cut["curves"] == whole["curves"]
    assert (tmp_path / "cut" / "metrics.jsonl").read_bytes() == trained
    assert noted.is_complete(tmp_path / "cut")


@pytest.mark.slow
def test_mlflow_has_the_curve(run_in, tmp_path, store, client):
    """As a file of the run, at its end and later, the newest."""
    from rlhf.tracking.state import read_state

    tracked = ("tracking=mlflow", f"tracking.uri={store}", "tracking.experiment=unit")
    run_in(tmp_path / "run", *LINES, *ENDING, *tracked, without="tracking")
    own = read_state(tmp_path / "run")["run_id"]
    for more in (None, ["--lambda", "0.3", "--by", "weights"]):
        if more:
            assert main([str(tmp_path / "run"), *more]) == 0
        sent = client.download_artifacts(own, "realign.json", str(tmp_path))
        assert json.loads(Path(sent).read_text()) == read_json(tmp_path / "run" / "realign.json")


@pytest.mark.parametrize(
    "more",
    [
        (
            *("generation.temperature=0.7", "generation.top_p=0.9"),
            *("kl/estimator=exact", "kl/placement=both"),
        ),
        ("scorer=length",),
        ("generation.micro_batch_size=5", "generation.engine=hf"),
    ],
)
def test_other_settings_of_a_run(run_in, tmp_path, more):
    run_in(tmp_path / "run", *LINES, *more, *ENDING)
    curve, other = points(tmp_path / "run"), points(tmp_path / "run", "weights")
    for weight in (0.0, 1.0):
        assert curve[weight]["response/length"] == other[weight]["response/length"]
        nats = [x[weight]["kl/sequence_nats_exact"] for x in (curve, other)]
        assert nats[0] == pytest.approx(nats[1], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("sft", ["adapter", "whole"])
def test_of_adapters(run_in, tmp_path, sft, dtype, chat_base):
    """Of one network that all roles share: ends as both ways see them."""
    base = ("model=hf", f"model.path={chat_base}", "model/adapter=lora", f"model.dtype={dtype}")
    more = ("sft=none",) if sft == "whole" else ()
    run_in(tmp_path / "run", *LINES, *base, *more, *ENDING, without="model.")
    curve, other = points(tmp_path / "run"), points(tmp_path / "run", "weights")
    assert curve[0.0]["kl/sequence_nats"] == 0
    for weight in (0.0, 1.0):
        assert curve[weight]["response/length"] == other[weight]["response/length"]
    assert 0 < other[0.5]["kl/sequence_nats_exact"] < other[1.0]["kl/sequence_nats_exact"]


@pytest.fixture(scope="module")
def chat_base(tmp_path_factory):
    """A pretrained model of random weights, that knows the words of `reviews`."""
    from rlhf.config.build import build
    from rlhf.config.compose import compose, validate
    from rlhf.data.records import Loaded
    from rlhf.models.load import TinyModel

    loaded = Loaded.of(build(validate(compose(["data.prompts=64", "data.pairs=48"])).data))
    tokenizer = loaded.source.tokenizer(loaded.data)
    piece = TinyModel(architecture="llama", hidden_size=16, layers=1, heads=2, seed=3)
    folder = tmp_path_factory.mktemp("base")
    piece.save(piece.causal_lm(tokenizer), tokenizer, folder)
    return folder


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--lambda", "-0.5"], "lambda -0.5: expected a number of at least 0"),
        (["--lambda", "0,x"], "lambda x: expected a number"),
        (["--by", "merging"], "--by merging: expected decoding or weights"),
        (["--prompts", "1"], "--prompts 1: expected"),
    ],
)
def test_arguments_that_are_refused(run, words, sentence, capsys):
    before = noted.noted(run)
    assert main([str(run), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert noted.noted(run) == before


def test_runs_that_are_refused(run, run_in, tmp_path, capsys):
    """Not finished, an SFT policy, a reference that moves, no SFT policy there any more."""
    cases = {}
    run_in(tmp_path / "sft", "stage=sft")
    cases["there is nothing between it and itself"] = tmp_path / "sft"
    run_in(tmp_path / "moving", *LINES, "kl/reference=ema")
    cases["kl/reference=ema moves while the policy trains"] = tmp_path / "moving"
    run_in(tmp_path / "cut", *LINES, "kl.coef=0.03")
    (tmp_path / "cut" / "summary.json").unlink()
    cases["is not finished but"] = tmp_path / "cut"
    for sentence, place in cases.items():
        assert main([str(place)]) == 2
        assert sentence in capsys.readouterr().err
        assert not (place / "realign.json").exists()
