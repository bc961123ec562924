"""A longer run goes on from a shorter one: the same bytes as one from the beginning, or none of
it."""

import signal

import pytest

from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_json
from rlhf.runs import longer
from tests.conftest import SMALL

FILES = ("metrics.jsonl", "samples.jsonl", "by_prompt.jsonl")
KEEP = "checkpoints.after_finish=last"
STEADY = "ppo.lr_warmup=0"


@pytest.fixture
def at(artifacts, tmp_path):
    """at(folder, *overrides) -> (directory, summary): a run where its name puts it."""

    def go(folder, *overrides):
        from rlhf.config.compose import compose, validate
        from rlhf.runs.execute import directory_of
        from rlhf.runs.run import run

        places = [f"paths.artifacts={artifacts}", f"paths.outputs={tmp_path / folder}"]
        cfg = validate(compose([*SMALL, *places, *overrides]))
        directory = directory_of(cfg)
        return directory, run(cfg, directory=directory)

    return go


def began(directory):
    """The iteration that the directory's last leg went on from."""
    return read_json(directory / "manifest.json")["legs"][-1]["from_iteration"]


SCHEDULE = [STEADY, "kl/controller=linear", "kl.controller.final=0.5"]
STATE = [STEADY, "kl/controller=pid", "kl.controller.target=0.05", "kl/reference=ema"]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        pytest.param([STEADY], [STEADY], id="constant"),
        pytest.param(
            ["ppo.lr_warmup=0.25"],
            ["ppo.lr_warmup=0.125"],
            id="as long a warm-up",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            SCHEDULE,
            [*SCHEDULE, "kl.controller.iterations=3"],
            id="the schedule's own length",
            marks=pytest.mark.slow,
        ),
        pytest.param(STATE, STATE, id="everything with state", marks=pytest.mark.slow),
    ],
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


@pytest.mark.slow
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


def test_where_the_numbers_would_be_others_it_begins_anew_and_says_why(at, caplog):
    """The default warm-up is a quarter of the run; and nothing was kept."""
    short, _ = at("one", "ppo.iterations=2")
    long, _ = at("one", "ppo.iterations=4")
    assert began(long) == 0
    (message,) = [m for m in caplog.messages if "is not gone on with" in m]
    assert str(short) in message and "ppo.lr_warmup=0.125 is as long a warm-up" in message
    assert "it has no checkpoint before iteration 4 (checkpoints.after_finish=last keeps" in message


def flat(iterations, **more):
    """16 responses in minibatches of 8, two inner epochs: 4 steps an iteration."""
    return {
        "ppo.iterations": iterations,
        "ppo.rollout_size": 16,
        "ppo.minibatch_size": 8,
        "ppo.inner_epochs": 2,
        "ppo.lr_schedule": "constant",
        "ppo.lr_warmup": 0.0,
        **{key.replace("__", "."): value for key, value in more.items()},
    }


def test_what_makes_the_first_steps_other_ones():
    assert longer.obstacle(flat(6), flat(3)) == ""
    assert longer.obstacle(flat(6, ppo__lr_warmup=0.125), flat(3, ppo__lr_warmup=0.25)) == ""
    # 4 and 3 steps of 24 and 12: to the next step is the same
    assert longer.warm(flat(6, ppo__lr_warmup=0.16)) == 4
    assert longer.obstacle(flat(6, ppo__lr_warmup=0.13), flat(3, ppo__lr_warmup=0.25)) == ""
    warmed = longer.obstacle(flat(6, ppo__lr_warmup=0.25), flat(3, ppo__lr_warmup=0.25))
    assert "ppo.lr_warmup=0.125 is as long a warm-up" in warmed
    falling = flat(6, ppo__lr_schedule="cosine")
    assert longer.obstacle(falling, flat(3, ppo__lr_schedule="cosine")).startswith(
        "ppo.lr_schedule=cosine falls over the whole run"
    )
    schedules = [flat(n, kl__controller__iterations=n) for n in (6, 3)]
    assert longer.obstacle(*schedules).startswith(
        "kl.controller.iterations is 6 here and 3 there, so the KL coefficients are other ones:"
        " kl.controller.iterations=3 goes on"
    )
    own = [flat(n, kl__controller__iterations=2) for n in (6, 3)]
    assert longer.obstacle(*own) == ""


@pytest.mark.parametrize("name", ["best_of_n", "expert_iteration"])
def test_a_step_on_the_best_of_each_prompt_is_a_step_on_the_responses_to_as_many(name):
    best = {"algorithm__piece": name, "ppo__responses_per_prompt": 4}
    # 16 responses are 4 winners, a step of at most 8: 2 steps an iteration and not 4
    assert longer.warm(flat(6, ppo__lr_warmup=0.25, **best)) == 3
    # 2 and 1 steps of 12 and 6, where all responses would make it 3 and 3 of 24 and 12
    both = flat(6, ppo__lr_warmup=0.14, **best), flat(3, ppo__lr_warmup=0.24, **best)
    assert "ppo.lr_warmup=0.12 is as long" in longer.obstacle(*both)
    every = flat(6, ppo__lr_warmup=0.14), flat(3, ppo__lr_warmup=0.24)
    assert longer.obstacle(*every) == ""


@pytest.mark.slow
@pytest.mark.parametrize("own", ["checkpoints.take_over=false", "rerun=true", "kl.coef=0.06"])
def test_what_is_asked_for_from_the_beginning_or_is_another_run_begins_there(at, own):
    at("one", STEADY, KEEP, "ppo.iterations=2")
    long, _ = at("one", STEADY, "ppo.iterations=3", own)
    assert began(long) == 0


def test_other_data_or_stages_are_another_run(at):
    short, _ = at("one", STEADY, KEEP, "ppo.iterations=2")
    made = read_json(short / "manifest.json")
    prints, plain = made["fingerprints"], dict(made["config"])
    plain["ppo"] = {**plain["ppo"], "iterations": 3}
    beside = short.with_name(f"{short.name[:-8]}00000000")
    assert list(longer.alike(beside, plain, prints)) == [short]
    assert list(longer.alike(beside, plain, {**prints, "sft": "other"})) == []
    assert list(longer.alike(beside, made["config"], prints)) == []  # of the same length
    write_json(short / "manifest.json", {**made, "hash_version": 1})
    assert list(longer.alike(beside, plain, prints)) == []


def test_a_neighbour_that_is_odd_stops_nobody(at, caplog):
    short, _ = at("one", STEADY, KEEP, "ppo.iterations=2")
    made = read_json(short / "manifest.json")
    config, odd = made["config"], short.with_name(f"{short.name[:-8]}00000000")
    odd.mkdir()
    for ppo in ({**config["ppo"], "iterations": "x"}, {**config["ppo"], "lr_warmup": None}, {}, 5):
        write_json(odd / "manifest.json", {**made, "config": {**config, "ppo": ppo}})
        prints, plain = made["fingerprints"], {**config, "ppo": {**config["ppo"], "iterations": 3}}
        assert list(longer.alike(short.with_name("new"), plain, prints)) == [short]
    assert any("has no ppo.iterations or no ppo.lr_warmup" in m for m in caplog.messages)


def test_a_kill_while_a_state_was_copied_is_made_up_for(at, monkeypatch, caplog):
    """Records and legs are there, the checkpoint is not."""

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    short, _ = at("one", STEADY, KEEP, "ppo.iterations=2")
    with monkeypatch.context() as killed, pytest.raises(Killed):
        killed.setattr(longer.shutil, "copyfileobj", kill)
        at("one", STEADY, "ppo.iterations=3")
    caplog.clear()
    long, _ = at("one", STEADY, "ppo.iterations=3")
    assert began(long) == 2 and len(read_json(long / "manifest.json")["legs"]) == 2
    assert not any("begins again" in m for m in caplog.messages)


def test_a_checkpoint_that_was_removed_meanwhile_leaves_nothing(at, tmp_path):
    short, _ = at("one", STEADY, KEEP, "ppo.iterations=2")
    source = longer.Source(directory=short, start=longer.choose(short))
    source.start.path.unlink()
    (tmp_path / "new").mkdir()
    with pytest.raises(FileNotFoundError):
        longer.copy_state(source, tmp_path / "new", evaluated=True)
    assert not [*(tmp_path / "new").iterdir()]
