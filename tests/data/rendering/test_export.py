"""The exported directory's `apply_chat_template` gives the very ids that were trained, whoever
loads it."""

import json
import subprocess
import sys

import pytest
from transformers import GenerationConfig

from rlhf.config.compose import compose, validate
from rlhf.config.stages import STAGES
from rlhf.data.conversations import Prompt
from rlhf.data.records import Demonstration, Preference, Split, TaskData
from rlhf.models.load import TinyModel
from rlhf.stages.context import StageContext
from rlhf.stages.table import RECIPES, artifact, fingerprints
from tests.conftest import SMALL
from tests.data.rendering import families
from tests.data.rendering.conversations import allowed
from tests.data.rendering.families import FAMILIES

# read by plain transformers in another process
READER = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer

for name, given in json.load(open(sys.argv[1])).items():
    tokenizer = AutoTokenizer.from_pretrained(given["directory"])
    if given["stops"]:
        model = AutoModelForCausalLM.from_pretrained(given["directory"])
        stops = model.generation_config.eos_token_id
        assert ([stops] if isinstance(stops, int) else stops) == given["stops"], (name, stops)
    for row in given["rows"]:
        ids = tokenizer.apply_chat_template(
            row["messages"],
            add_generation_prompt=row["ask"],
            sanitize_control_tokens=row["sanitize"],
            return_dict=False,
        )
        assert ids == row["ids"], (name, row["key"], tokenizer.decode(ids))
    print(name, len(given["rows"]))
"""


class Conversations:
    """A source of the given conversations."""

    template = "auto"
    max_response_tokens, pairs, label_temperature = 8, 8, 1.0
    gold, judges = None, {}

    def __init__(self, rows):
        self.rows = rows

    def load(self):
        rows = tuple(Demonstration(prompt=t[:-1], completion=t[-1].content) for t in self.rows)
        prompts = tuple(Prompt(turns=turns[:-1]) for turns in self.rows)
        pairs = tuple(
            Preference(prompt=row.prompt, chosen=row.completion, rejected=f"{row.completion} no")
            for row in rows
        )
        return TaskData(
            demonstrations=Split(train=rows, heldout=rows[:1]),
            preferences=Split(train=pairs, heldout=pairs[:1]),
            prompts=Split(train=prompts, heldout=prompts[:1]),
        )


def pretrained(name, folder):
    """The directory of a tiny chat model of the family."""
    tokenizer = families.tokenizer(name)
    piece = TinyModel(architecture="llama", hidden_size=8, layers=1, heads=1, seed=0)
    model = piece.causal_lm(tokenizer)
    ids = tokenizer.convert_tokens_to_ids([*FAMILIES[name].model_eos])
    model.generation_config = GenerationConfig(eos_token_id=ids or tokenizer.eos_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def context_of(name, folder):
    """The context of a run on the family's conversations."""
    settings = [o for o in SMALL if not o.startswith(("data.", "model."))]
    model = ["model=hf", f"model.path={pretrained(name, folder / 'model')}"]
    lengths = ["sft.max_length=1024", "reward_model.max_length=1024", "generation.max_new_tokens=4"]
    short = ["sft.epochs=1", "reward_model.epochs=1", "ppo.iterations=1", "ppo.rollout_size=8"]
    places = [f"paths.artifacts={folder / 'artifacts'}"]
    cfg = validate(compose([*settings, *model, *lengths, *short, *places]))
    source = Conversations([*allowed(FAMILIES[name]).values()])
    return StageContext(cfg=cfg, source=source, data=source.load(), run_directory=folder)


def trained(context, *stages):
    """The directories of the run's stages, by name, each after those before it."""
    prints, made = fingerprints(context), {}
    for stage in stages:
        made[stage] = artifact(context, STAGES[stage], prints, made)
    return made


def trained_online(context, parents):
    """The directory of the policy after an iteration of PPO."""
    stage, work = STAGES["ppo"], context.run_directory / "run"
    work.mkdir()
    with context.tracked(work, stage, name="ppo", params={}, tags={}) as tracker:
        RECIPES["ppo"].train(context, parents, work, tracker)
    return work / "policy"


def row(turns, ids, *, key, ask=False):
    messages = [turn._asdict() for turn in turns]
    return {
        "key": key,
        "messages": messages,
        "ids": list(ids),
        "ask": ask,
        "sanitize": key == "spelled",
    }


def rows_of(context, name):
    """What was trained and asked, as the other process is to see it."""
    for (key, turns), encoded in zip(
        allowed(FAMILIES[name]).items(), context.rows["sft"].train, strict=True
    ):
        assert not encoded.cut
        yield row(turns, encoded.ids, key=key)
        yield row(turns[:-1], context.rendering.prompt(turns[:-1]), key=key, ask=True)


def pairs_of(context, name):
    for (key, turns), pair in zip(
        allowed(FAMILIES[name]).items(), context.rows["reward_model"].train, strict=True
    ):
        worse = turns[-1]._replace(content=f"{turns[-1].content} no")
        yield row(turns, pair.chosen.ids, key=key)
        yield row((*turns[:-1], worse), pair.rejected.ids, key=key)


def compare(given, tmp_path):
    """What the other process says of each directory, a line each."""
    file = tmp_path / "given.json"
    file.write_text(json.dumps(given))
    done = subprocess.run(
        [sys.executable, "-c", READER, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_exported_template_gives_the_ids_that_were_trained(tmp_path):
    given = {}
    for name in FAMILIES:
        context = context_of(name, tmp_path / name)
        directory = trained(context, "sft")["sft"]
        given[name] = {
            "directory": str(directory),
            "stops": [*context.rendering.stop_ids],
            "rows": [*rows_of(context, name)],
        }
    assert len(given) >= 10
    assert [line.split()[0] for line in compare(given, tmp_path)] == [*FAMILIES]


@pytest.mark.slow
def test_every_model_of_a_run_has_its_template(tmp_path):
    given = {}
    for name in ("llama2", "qwen3", "harmony", "falcon"):
        context = context_of(name, tmp_path / name)
        made = trained(context, "sft", "reward_model")
        policy, stops = trained_online(context, made), [*context.rendering.stop_ids]
        rows, pairs = [*rows_of(context, name)], [*pairs_of(context, name)]
        for stage, directory, ends, of in (
            ("reward_model", made["reward_model"], [], pairs),
            ("ppo", policy, stops, rows),
        ):
            given[f"{name}/{stage}"] = {"directory": str(directory), "stops": ends, "rows": of}
    assert len(compare(given, tmp_path)) == 8
