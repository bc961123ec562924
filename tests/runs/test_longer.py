"""A longer run goes on from a shorter one: the same bytes as one from the beginning, or none of
it."""

import signal

import pytest

from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_json
from rlhf.runs import longer

FILES = ("metrics.jsonl", "samples.jsonl", "by_prompt.jsonl")
KEEP = "checkpoints.after_finish=last"
STEADY = "ppo.lr_warmup=0"


@pytest.fixture
def at(run_in, tmp_path):
    """at(folder, *overrides) -> (directory, summary): a run where its name puts it."""

    def go(folder, *overrides):
        from rlhf.config.compose import compose, validate
        from rlhf.runs.execute import directory_of
        from tests.conftest import SMALL

        overrides = [f"paths.outputs={tmp_path / folder}", *overrides]
        directory = directory_of(validate(compose([*SMALL, *overrides])))
        return directory, run_in(directory, *overrides)

    return go


def began(directory):
    """The iteration that the directory's last leg went on from."""
    return read_json(directory / "manifest.json")["legs"][-1]["from_iteration"]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ([STEADY], [STEADY]),
        (["ppo.lr_warmup=0.25"], ["ppo.lr_warmup=0.125"]),
        (
            [STEADY, "kl/controller=linear", "kl.controller.final=0.5"],
            [
                STEADY,
                "kl/controller=linear",
                "kl.controller.final=0.5",
                "kl.controller.iterations=3",
            ],
        ),
        ([STEADY, "kl/controller=pid", "kl.controller.target=0.05", "kl/reference=ema"],) * 2,
    ],
    ids=["constant", "as long a warm-up", "the schedule's own length", "everything with state"],
)
def test_longer_is_bitwise_an_uninterrupted_run(at, caplog, short, long):
    """From 3 iterations to 6. The last one of the short run was evaluated, as all last ones are; of
    the long run it is no evaluation."""
    first, summary = at("one", *short, KEEP, "ppo.iterations=3")
    caplog.clear()
    second, gone_on = at("one", *long, "ppo.iterations=6")
    whole, afresh = at("two", *long, "ppo.iterations=6")
    assert (began(second), began(whole)) == (3, 0)
    assert gone_on["policy_sha256"] == afresh["policy_sha256"] != summary["policy_sha256"]
    for name in FILES:
        assert (second / name).read_bytes() == (whole / name).read_bytes()
    assert any(m.startswith(f"goes on from iteration 3 of {first},") for m in caplog.messages)
    legs = read_json(second / "manifest.json")["legs"]
    assert [(leg.get("run"), leg["from_iteration"]) for leg in legs] == [(first.name, 0), (None, 3)]
    assert gone_on["exact_resume"] and len((first / "metrics.jsonl").read_text().splitlines()) == 4


def test_a_begun_run_is_gone_on_with_too_at_any_length(at, stop_at):
    stop_at("ppo", 2, signal.SIGTERM)
    with pytest.raises(Stopped):
        at("one", STEADY, "ppo.iterations=6")
    longest, _ = at("one", STEADY, "ppo.iterations=8")
    shorter, one = at("one", STEADY, "ppo.iterations=3")
    assert began(longest) == began(shorter) == 2
    whole, two = at("two", STEADY, "ppo.iterations=3")
    assert one["policy_sha256"] == two["policy_sha256"]
    assert (shorter / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([KEEP, "ppo.lr_warmup=0.25"], "ppo.lr_warmup=0.125 is as long a warm-up"),
        (
            [KEEP, STEADY, "ppo.lr_schedule=cosine"],
            "ppo.lr_schedule=cosine falls over the whole run",
        ),
        (
            [KEEP, STEADY, "kl/controller=cosine"],
            "kl.controller.iterations is 4 here and 2 there, so the KL coefficients are other ones:"
            " kl.controller.iterations=2 goes on",
        ),
        ([STEADY], "it has no checkpoint before iteration 4 (checkpoints.after_finish=last keeps"),
    ],
)
def test_where_the_numbers_would_be_others_it_begins_anew_and_says_why(
    at, caplog, overrides, reason
):
    short, _ = at("one", *overrides, "ppo.iterations=2")
    long, _ = at("one", *overrides, "ppo.iterations=4")
    assert began(long) == 0
    (message,) = [m for m in caplog.messages if m.startswith("begins anew")]
    assert str(short) in message and reason in message


@pytest.mark.parametrize("own", ["checkpoints.take_over=false", "rerun=true", "kl.coef=0.06"])
def test_what_is_asked_for_from_the_beginning_or_is_another_run_begins_there(at, own):
    at("one", STEADY, KEEP, "ppo.iterations=2")
    long, _ = at("one", STEADY, "ppo.iterations=3", own)
    assert began(long) == 0


def test_other_data_or_stages_are_another_run(at):
    short, _ = at("one", STEADY, KEEP, "ppo.iterations=2")
    made = read_json(short / "manifest.json")
    prints, plain = made["fingerprints"], {**made["config"]}
    plain["ppo"] = {**plain["ppo"], "iterations": 3}
    beside = short.with_name(f"{short.name[:-8]}00000000")
    assert list(longer.alike(beside, plain, prints)) == [short]
    assert list(longer.alike(beside, plain, {**prints, "sft": "other"})) == []
    assert list(longer.alike(beside, made["config"], prints)) == []  # of the same length
    write_json(short / "manifest.json", {**made, "hash_version": 1})
    assert list(longer.alike(beside, plain, prints)) == []
