import json
from dataclasses import replace

import pytest
import torch

from rlhf.chat.session import Talk, open_session
from rlhf.commands.models.sample import main
from rlhf.data.conversations import asked
from rlhf.data.rendering.choice import FOLDER
from rlhf.export.made import find
from rlhf.models.load import load_causal_lm, load_tokenizer

ASKED = "we felt the pacing"


@pytest.fixture
def run(run_in, tmp_path):
    run_in(tmp_path / "run", "ppo.iterations=2", "evaluation.every=2", "ppo.optimizer.lr=3e-3")
    return tmp_path / "run"


@torch.no_grad()
def logp(folder, turns, reply):
    """The sum of log-probabilities of a response's tokens, by the model alone."""
    tokenizer, model = load_tokenizer(folder), load_causal_lm(folder)
    prompt = tokenizer(turns[-1]["content"], add_special_tokens=False)["input_ids"]
    response = [tokenizer.convert_tokens_to_ids(token) for token in reply["tokens"]]
    logits = model(input_ids=torch.tensor([[*prompt, *response]])).logits[0]
    rows = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return rows.gather(1, torch.tensor(response)[:, None]).sum().item()


def test_answers_to_a_file_of_prompts(run, tmp_path, capsys):
    """Both sides' rewards and KL; the KL is log pi - log pi_ref of the whole answer, whoever wrote
    it; the same seed gives the same file, another seed another."""
    prompts, out = tmp_path / "p.jsonl", tmp_path / "out.jsonl"
    prompts.write_text('{"prompt": "we felt the pacing"}\n{"prompt": "i felt the scenery"}\n')
    command = [str(run), "--prompts", str(prompts), "--out", str(out)]
    assert main(command) == 0
    first = out.read_text()
    rows = [json.loads(line) for line in first.splitlines()]
    assert [row["prompt"][0]["content"] for row in rows] == [ASKED, "i felt the scenery"]
    made = find(run)
    for row in rows:
        for side in ("policy", "reference"):
            reply = row[side]
            apart = [
                logp(folder, row["prompt"], reply)
                for folder in (made.folder("policy"), made.artifact("sft"))
            ]
            assert reply["kl/sequence_nats"] == pytest.approx(apart[0] - apart[1], abs=2e-3)
            assert sum(reply["token_kl"]) == pytest.approx(reply["kl/sequence_nats"], abs=1e-3)
            assert {"reward/proxy", "reward/gold", "ppo/score"} <= reply.keys()
    assert main(command) == 0 and out.read_text() == first
    assert main([*command, "--seed", "1"]) == 0 and out.read_text() != first
    assert main([*command, "--max-tokens", "2"]) == 0
    lengths = [len(json.loads(line)["policy"]["tokens"]) for line in out.read_text().splitlines()]
    assert max(lengths) <= 2


def test_a_conversation_in_a_terminal(run, monkeypatch, capsys):
    said = iter([ASKED, "", "/reset", ASKED, "/quit", "never read"])
    monkeypatch.setattr("builtins.input", lambda _="": next(said))
    assert main([str(run)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("policy") == 2 and shown.count("KL") == 4
    assert main([str(run), "--prompt", ASKED]) == 0
    assert capsys.readouterr().out.count("policy") == 1


def test_an_ensemble_and_its_parts_are_shown(run_in, tmp_path):
    """The members' mean, which training maximised, beside a rule's score: each by its name."""
    parts = [
        f"+scorer@scorer.parts.{n}={o}" for n, o in (("models", "ensemble"), ("long", "length"))
    ]
    more = ("scorer.parts.models.members=2", "ppo.iterations=1", "evaluation.every=1")
    run_in(tmp_path / "run", "scorer=combined", *parts, *more)
    made = find(tmp_path / "run")
    assert [place.parent.name for place in made.members] == ["reward_model"]
    reply = open_session(made, seed=0).answer([asked(ASKED)], draw=0)[0]["policy"]
    keys = ("reward/models", "reward/long", "reward/combined", "reward/disagreement", "ppo/score")
    assert {*keys} <= reply.keys()
    assert reply["ppo/score"] == pytest.approx(
        reply["reward/models"] + reply["reward/long"], abs=2e-4
    )


def test_a_scorer_that_cannot_be_had_is_said_once_and_left_out(run_in, tmp_path, caplog):
    """References that a question lacks, a reward model that is gone, code that has changed."""
    lines = ("ppo.value_init=policy", "ppo.iterations=1", "scorer=vader")
    run_in(tmp_path / "run", *lines)
    for scorer, sentence in (
        (
            {
                "_target_": "rlhf.rewards.rules.AnswerMatchScorer",
                "form": "exact",
                "right": 1.0,
                "wrong": 0.0,
            },
            "compares with references",
        ),
        ({"_target_": "rlhf.rollout.score.RewardModelScorer"}, "not on this disk any more"),
        (
            {
                "_target_": "rlhf.rewards.function.FunctionScorer",
                "function": "nobodys.own",
                "arguments": {},
                "batch_size": 1,
                "timeout": None,
                "pure": False,
                "metric": None,
            },
            "nobodys.own is not an allowed function",
        ),
    ):
        made = find(tmp_path / "run")
        rules = {"missing_eos": "none", "missing_eos_value": None, "reward_clip": None}
        made.manifest["config"] |= {"scorer": {**scorer, **rules}}
        caplog.clear()
        reply = open_session(made, seed=0).answer([asked(ASKED)], draw=0)[0]["policy"]
        assert "ppo/score" not in reply and "kl/sequence_nats" in reply
        (warning,) = [
            r.getMessage() for r in caplog.records if "score of training" in r.getMessage()
        ]
        assert sentence in warning


def test_turns_go_on_where_the_template_takes_them(run):
    """The history has the policy's answers; a reset leaves the system turn alone. The template is
    the one that is kept with the policy."""
    template = (FOLDER / "transcript.jinja").read_text()
    (run / "policy" / "chat_template.jinja").write_text("{%- set prefix = '' -%}\n" + template)
    session = open_session(find(run), seed=0)
    assert session.takes_turns
    talk = Talk(session=session, system="be kind")
    first = talk.say(ASKED)
    talk.say("why")
    assert [turn.role for turn in talk.turns] == ["system", *("user", "assistant") * 2]
    assert talk.turns[2].content == first["policy"]["response"]
    talk.reset()
    assert [turn.role for turn in talk.turns] == ["system"]


def test_what_the_template_writes_before_an_answer_is_no_part_of_its_text(run):
    """Here a space, which every word of this tokenizer begins with."""
    template = (
        "{%- for turn in messages -%}{{- {'user': 'Q: ', 'assistant': ' A: '}[turn.role] -}}"
        "{{- turn.content -}}{%- endfor -%}{{- ' A:' if add_generation_prompt -}}"
    )
    session = open_session(find(run), seed=0)
    (run / "policy" / "chat_template.jinja").write_text(template)
    spaced = open_session(find(run), seed=0)
    assert session.answer([asked(ASKED)], draw=0)[0]["policy"]["response"].startswith(" ")
    assert not spaced.answer([asked(ASKED)], draw=0)[0]["policy"]["response"].startswith(" ")


def test_one_question_at_a_time_where_it_does_not(run):
    talk = Talk(session=open_session(find(run), seed=0))
    talk.say(ASKED)
    talk.say("why")
    assert [turn.content for turn in talk.turns][:1] == ["why"] and len(talk.turns) == 2


def test_tokens_for_which_there_is_no_room_are_counted(run):
    """Four words, room for three, then for all."""
    session = open_session(find(run), seed=0)
    assert replace(session, limit=3).cut(asked(ASKED)) == 1
    assert session.cut(asked(ASKED)) == replace(session, limit=None).cut(asked(ASKED)) == 0


def test_what_cannot_be_asked_is_a_sentence(run, tmp_path, capsys):
    made = find(run)
    for words, sentence in (
        ([str(made.artifact("reward_model"))], "is a reward model: it holds no policy"),
        ([str(tmp_path)], "is no run and no artifact"),
        ([str(run), "--out", "x"], "--out takes the answers to --prompts FILE"),
        ([str(run), "--temperature", "0"], "--temperature 0.0: expected a number above 0"),
        ([str(run), "--prompts", str(tmp_path / "no.jsonl")], "no such file"),
    ):
        assert main(words) == 2
        assert sentence in capsys.readouterr().err


def test_an_sft_policy_stands_beside_the_model_before_it(run):
    sft = find(run).artifact("sft")
    replies = open_session(find(sft), seed=0).answer([asked(ASKED)], draw=0)[0]
    assert replies["policy"].keys() >= {"tokens", "kl/sequence_nats"}
    assert abs(replies["policy"]["kl/sequence_nats"]) > 1e-3


def test_the_gold_reward_is_that_of_the_run(run_in, tmp_path):
    """Of conversations VADER reads question and answer apart: `it?great` is no word."""
    rows = [{"instruction": f"was {i} good?", "output": "great"} for i in range(40)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ["data=files", f"data.demonstrations={tmp_path}/d.jsonl", "data.gold=vader"]
    lines = [*files, "data.vocabulary=300", "data.max_response_tokens=4", "scorer=gold"]
    lines += ["ppo.value_init=policy", "ppo.iterations=1"]
    run_in(tmp_path / "run", *lines, f"paths.artifacts={tmp_path}/store", without="data.")
    judges = open_session(find(tmp_path / "run"), seed=0).judges
    assert judges.gold(["was it?"], ["great"]) == pytest.approx([1.2498], abs=1e-4)
