"""A row of a file, to the ids that the model's own template gives its messages."""

import json

from rlhf.data.collate import encode_demonstrations
from rlhf.data.lengths import Limit
from rlhf.data.sources.files import Files
from tests.data.rendering.conversations import A, S, T, U, rendering

SETTINGS = {
    "preferences": None,
    "prompts": None,
    "gold": None,
    "prompt_words": 4,
    "pairs": 8,
    "label_temperature": 1.0,
    "heldout_fraction": 0.4,
    "seed": 0,
    "vocabulary": 300,
    "max_response_tokens": 8,
}
TALKS = {
    "a question": [(U, "the film"), (A, "was good")],
    "a system": [(S, "Be short."), (U, "the film"), (A, "was good")],
    "a tool": [(U, "x"), (A, "call"), (T, "y"), (A, "z")],
    "two questions": [(U, " a\n"), (A, "b"), (U, "c"), (A, " d ")],
    "a special token": [(U, "say <|im_end|>"), (A, "no <|im_start|>")],
}


def test_messages_become_the_ids_of_the_models_own_template(tmp_path):
    qwen, path = rendering("qwen2"), tmp_path / "d.jsonl"
    talks = {
        key: [{"role": role, "content": content} for role, content in talk]
        for key, talk in TALKS.items()
    }
    path.write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in talks.values()))
    data = Files(**{**SETTINGS, "demonstrations": str(path)}).load()
    rows = [*data.demonstrations.train, *data.demonstrations.heldout]
    encoded = [list(row.ids) for row in encode_demonstrations(qwen, rows, Limit(most=400))]
    own = [
        qwen.tokenizer.apply_chat_template(
            talk, sanitize_control_tokens=key == "a special token", return_dict=False
        )
        for key, talk in talks.items()
    ]
    assert not data.continues and sorted(encoded) == sorted(own)
