"""What rank 0 tells of the others' ends, over a store in this process."""

import json

import pytest
import torch.distributed as dist

from rlhf.ranks.group import ALONE
from rlhf.rundir.errors import NonFinite, RunFailed
from rlhf.stages.ranks.failures import failure_of, is_consequence
from rlhf.stages.ranks.meeting import Meeting, Place, Task
from rlhf.stages.ranks.team import Leader, Team

TASK = Task(
    stage="ppo",
    directory="/runs/a",
    parents={"sft": "/artifacts/sft"},
    members=("/artifacts/one",),
    reward_seed=3,
    data="abc",
)


class Led(Leader):
    """Rank 0 of two, the other of which has ended as `how` says."""

    def __init__(self, meeting, how=None):
        super().__init__(meeting)
        self.how = how

    def dead(self, rank):
        return self.how


def meetings():
    store = dist.HashStore()
    return [
        Meeting(store, Place(rank=rank, size=2, local_rank=rank, seconds=0.1)) for rank in (0, 1)
    ]


def failed(error):
    """The error as it was raised, with its trace."""
    try:
        raise error
    except Exception as raised:
        return failure_of(raised)


def test_a_task_comes_as_it_was_given():
    first, second = meetings()
    first.ask(0, TASK)
    first.ask(1, None)
    assert second.task(0) == TASK and second.task(1) is None
    assert not first.is_ready(0, 1)
    second.ready(0)
    assert first.is_ready(0, 1) and not first.is_ready(1, 1)


def test_one_process_is_a_team():
    with Team().together() as ranks:
        assert ranks is ALONE


def told(leader, error):
    """What a rank 0 raises whose fit met the error."""
    leader.ask(TASK)
    leader.meeting.store.set("ready/0/1", "")
    with pytest.raises(RunFailed) as raised:
        try:
            raise error
        except Exception as met:
            raise RunFailed(leader._why()) from met
    return str(raised.value)


def by(module, error):
    """The error as a module's own code raises it."""
    try:
        exec("raise error", {"__name__": module, "error": error})
    except Exception as raised:
        return raised


def lost():
    text = "[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]"
    return by("torch.distributed.distributed_c10d", RuntimeError(text))


def test_what_a_rank_says_of_its_error_is_told_with_its_number(caplog):
    first, second = meetings()
    second.report(failed(ValueError("the scorer's words\nand more")))
    assert told(Led(first, "ended with exit code 1"), lost()) == (
        "rank 1: ValueError: the scorer's words"
    )
    assert caplog.text.count("Traceback") == 1 and "in failed" in caplog.text
    assert "the scorer's words" not in caplog.text.replace(" raise error", "")


def test_words_for_the_user_come_without_a_trace(caplog):
    first, second = meetings()
    second.report(failed(NonFinite("ppo, iteration 1: the loss is nan")))
    assert told(Led(first), lost()) == "rank 1: ppo, iteration 1: the loss is nan"
    assert "Traceback" not in caplog.text


def test_a_killed_rank_is_named():
    first, _ = meetings()
    words = told(Led(first, "was ended by SIGKILL"), lost())
    assert words.startswith("rank 1 was ended by SIGKILL, and the other ranks ended with it; its")
    assert words.endswith("the same command goes on from there")


def test_who_only_lost_its_connection_is_not_at_fault():
    first, second = meetings()
    second.report(failure_of(lost()))
    leader = Led(first, "ended with exit code 1")
    leader.ask(TASK)
    assert leader._first_failure() == ""


@pytest.mark.parametrize(
    ("module", "error", "answer"),
    [
        ("torch.distributed", RuntimeError("gloo: Connection closed by peer"), True),
        ("torch.autograd.graph", RuntimeError("Timed out waiting 8000ms for recv (gloo)"), True),
        ("torch.distributed", ConnectionResetError("reset"), True),
        ("rlhf.stages.ranks.meeting", dist.DistBackendError("NCCL error"), True),
        ("torch.nn", RuntimeError("shape '[2]' is invalid for input of size 3"), False),
        ("torch.distributed", ValueError("gloo"), False),
        ("rlhf.stages.fit", RunFailed("socket"), False),
        ("urllib.request", ConnectionResetError("the judge's server"), False),
        ("own_scorer", RuntimeError("socket closed"), False),
    ],
)
def test_what_another_ranks_end_looks_like(module, error, answer):
    """A judge that loses a connection of its own is at fault itself."""
    raised = by(module, error)
    assert is_consequence(raised) is answer
    assert json.loads(json.dumps(failure_of(raised)))["consequence"] is answer
