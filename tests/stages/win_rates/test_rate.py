"""What a policy's answers are compared with."""

import json
from types import SimpleNamespace

import pytest
import torch

from rlhf.annotators.base import Answer
from rlhf.data.conversations import Prompt, asked
from rlhf.data.records import DataError
from rlhf.rundir.read import read_json
from rlhf.stages.win_rates.rate import comparisons, is_remote, missing
from tests.conftest import SMALL


def prompt(text, reference=None):
    return Prompt(turns=asked(text), reference=reference)


def test_each_response_meets_the_next_answer_to_its_prompt():
    """The second response to `p` was left out, as it was not finite: the third meets the second
    answer, which is to the same prompt; `q` has no answer."""
    baseline = [
        Answer(prompt("p"), "one"),
        Answer(prompt("r"), "far", False),
        Answer(prompt("p"), "two"),
    ]
    batch = SimpleNamespace(prompts=tuple(map(prompt, "pqprp")))
    rollout = SimpleNamespace(prompt=batch, ended=torch.tensor([True, True, False, True, True]))
    responses = SimpleNamespace(rollout=rollout, texts=["a", "b", "c", "d", "e"])
    assert [
        (c.prompt.text, c.first, c.second, c.first_ended, c.second_ended)
        for c in comparisons(responses, baseline)
    ] == [
        ("p", "a", "one", True, True),
        ("p", "c", "two", False, True),
        ("r", "d", "far", True, False),
        ("p", "e", "one", True, True),
    ]


def test_a_pool_is_remote_where_a_member_is():
    here, there = SimpleNamespace(), SimpleNamespace(remote=True)
    assert is_remote(there) and not is_remote(here)
    assert is_remote(SimpleNamespace(members={"a": here, "b": there}))
    assert not is_remote(SimpleNamespace(members={"a": here}))


def test_what_is_missing_is_told():
    def record(iteration, **more):
        return {"iteration": iteration, "eval/kl/sequence_nats": 1.0, **more}

    whole = {"eval/win_rate": 0.5, "eval/win_rate/unanswered": 0.0}
    assert missing([record(0, **whole), {"iteration": 1}]) == []
    first, second = missing(
        [record(0, **whole), record(2), record(4, **whole | {"eval/win_rate/unanswered": 0.25})]
    )
    assert first.startswith("1 of 3 evaluations have no win rate") and "(iterations 2)" in first
    assert second.startswith("up to 25.0% of an evaluation's questions had no verdict")


@pytest.fixture
def files(tmp_path):
    """files(share) -> the overrides of data of which a share of the prompts has an answer."""

    def make(share):
        rows = {
            "demos": [{"prompt": f"p{i}", "completion": f" good {i}"} for i in range(40)],
            "prompts": [
                {"prompt": f"p{i}"} | ({"reference": f"so {i}"} if i < 40 * share else {})
                for i in range(40)
            ],
        }
        for name, lines in rows.items():
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (tmp_path / f"{name}.jsonl").write_text(text)
        places = [f"data.{p}={tmp_path / f}.jsonl" for p, f in PARTS]
        return ["data=files", *places, "data.gold=vader", "data.vocabulary=300", *OWN]

    return make


PARTS = (("demonstrations", "demos"), ("prompts", "prompts"))
OWN = ["scorer=gold", "ppo.value_init=policy", "ppo.iterations=1", "evaluation.win_rate=reference"]
OWN += [o for o in SMALL if not o.startswith(("data.", "ppo.iterations"))]


def test_the_datas_own_answers(run_in, files, tmp_path):
    """Vader knows no word of them: gold is even, and each comparison a tie but where the policy
    has written what Vader knows."""
    summary = run_in(tmp_path / "run", *files(1.0), "annotator.temperature=0", without="")
    assert 0.5 <= summary["win_rate"] <= 1 and not (tmp_path / "artifacts").exists()
    assert read_json(tmp_path / "run" / "summary.json")["win_rate/position_bias"] == 0.0


def test_data_without_answers_is_refused_before_training(run_in, files, tmp_path):
    with pytest.raises(DataError, match="none of the .* held-out prompts has a reference answer"):
        run_in(tmp_path / "run", *files(0.0), without="")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
