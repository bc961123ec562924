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
from rlhf.data.records import Demonstration, Split, TaskData
from rlhf.models.load import TinyModel
from rlhf.stages.context import StageContext
from rlhf.stages.table import artifact, fingerprints
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
        return TaskData(
            demonstrations=Split(train=rows, heldout=rows[:1]),
            preferences=None,
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


def trained(name, folder, *overrides):
    """The context of an SFT stage that was run on the family's conversations, and its directory."""
    settings = [o for o in SMALL if not o.startswith(("data.", "model."))]
    model = ["model=hf", f"model.path={pretrained(name, folder / 'model')}"]
    more = [f"paths.artifacts={folder / 'artifacts'}", "sft.epochs=1", "sft.max_length=1024"]
    cfg = validate(compose([*settings, *model, *more, *overrides]))
    source = Conversations([*allowed(FAMILIES[name]).values()])
    context = StageContext(cfg=cfg, source=source, data=source.load(), run_directory=folder)
    return context, artifact(context, STAGES["sft"], fingerprints(context), {})


def rows_of(context, name):
    """What was trained and asked, as the other process is to see it."""
    for (key, turns), encoded in zip(
        allowed(FAMILIES[name]).items(), context.rows["sft"].train, strict=True
    ):
        common = {"key": key, "sanitize": key == "spelled"}
        messages = [turn._asdict() for turn in turns]
        yield {**common, "messages": messages, "ids": encoded.ids, "ask": False}
        asked = context.rendering.prompt(turns[:-1])
        yield {**common, "messages": messages[:-1], "ids": asked, "ask": True}


@pytest.mark.slow
def test_the_exported_template_gives_the_ids_that_were_trained(tmp_path):
    given = {}
    for name in FAMILIES:
        context, directory = trained(name, tmp_path / name)
        given[name] = {
            "directory": str(directory),
            "stops": [*context.rendering.stop_ids],
            "rows": [*rows_of(context, name)],
        }
        assert not any(row.cut for row in context.rows["sft"].train)
    assert len(given) >= 10
    file = tmp_path / "given.json"
    file.write_text(json.dumps(given))
    done = subprocess.run(
        [sys.executable, "-c", READER, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*FAMILIES]
