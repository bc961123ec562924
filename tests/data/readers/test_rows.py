import pytest

from rlhf.data.readers.rows import Row, RowError, detect, parse

USER = {"role": "user", "content": "Why?"}
BOT = {"role": "assistant", "content": "So."}
SYSTEM = {"role": "system", "content": "Be kind."}
OTHER = {"role": "assistant", "content": "No."}


def read(row, purpose, prompt_words=2):
    return parse(row, detect(row, purpose), purpose, prompt_words)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": " a fine film indeed . ", "label": 1}, Row("a fine", " film indeed .")),
        ({"prompt": "Why?", "completion": " So."}, Row("Why?", " So.")),
        (
            {"instruction": "Add.", "input": "1 2", "output": "3"},
            Row("Instruction:\nAdd.\n\nInput:\n1 2\n\nResponse:\n", "3"),
        ),
        (
            {"instruction": "Add.", "input": "", "output": "3"},
            Row("Instruction:\nAdd.\n\nResponse:\n", "3"),
        ),
        (
            {"instruction": "Add.", "input": None, "output": "3"},
            Row("Instruction:\nAdd.\n\nResponse:\n", "3"),
        ),
        (
            {"instruction": "Add {x}.", "output": "3"},
            Row("Instruction:\nAdd {x}.\n\nResponse:\n", "3"),
        ),
        (
            {"messages": [SYSTEM, USER, BOT]},
            Row("\n\nSystem: Be kind.\n\nHuman: Why?\n\nAssistant:", " So."),
        ),
        ({"prompt": [USER], "completion": [BOT]}, Row("\n\nHuman: Why?\n\nAssistant:", " So.")),
        (
            {"prompt": "Why?", "chosen": "So.", "rejected": "No.", "context": "left alone"},
            Row("Why?", "So.", "No."),
        ),
        (
            {"prompt": [USER], "chosen": [BOT], "rejected": [OTHER]},
            Row("\n\nHuman: Why?\n\nAssistant:", " So.", " No."),
        ),
        (
            {"messages": [USER], "chosen": "So.", "rejected": "No."},
            Row("\n\nHuman: Why?\n\nAssistant:", " So.", " No."),
        ),
        (
            {"chosen": [USER, BOT], "rejected": [USER, OTHER]},
            Row("\n\nHuman: Why?\n\nAssistant:", " So.", " No."),
        ),
    ],
)
def test_demonstrations_of_every_format(row, expected):
    assert read(row, "demonstrations") == expected
    if expected.rejected is not None:
        assert read(row, "preferences") == expected


@pytest.mark.parametrize(
    ("chosen", "rejected", "expected"),
    [
        (
            "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
            "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: e",
            Row("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", " d", " e"),
        ),
        # they part in the first answer, so what follows it belongs to the answers
        (
            "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
            "\n\nHuman: a\n\nAssistant: x\n\nHuman: c\n\nAssistant: d",
            Row(
                "\n\nHuman: a\n\nAssistant:",
                " b\n\nHuman: c\n\nAssistant: d",
                " x\n\nHuman: c\n\nAssistant: d",
            ),
        ),
        # one of the answers is empty
        (
            "\n\nHuman: a\n\nAssistant: ",
            "\n\nHuman: a\n\nAssistant: b",
            Row("\n\nHuman: a\n\nAssistant:", " ", " b"),
        ),
    ],
)
def test_transcripts_share_the_prompt(chosen, rejected, expected):
    assert read({"chosen": chosen, "rejected": rejected}, "preferences") == expected


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": "Why?", "category": "x"}, "Why?"),
        ({"prompt": "Why?", "completion": " So."}, "Why?"),
        ({"prompt": [USER]}, "\n\nHuman: Why?\n\nAssistant:"),
        (
            {"instruction": "Add.", "input": "1 2"},
            "Instruction:\nAdd.\n\nInput:\n1 2\n\nResponse:\n",
        ),
        ({"messages": [USER]}, "\n\nHuman: Why?\n\nAssistant:"),
        ({"messages": [USER, BOT]}, "\n\nHuman: Why?\n\nAssistant:"),
        ({"text": "a fine film"}, "a fine"),
        ({"chosen": [USER, BOT], "rejected": [USER, OTHER]}, "\n\nHuman: Why?\n\nAssistant:"),
    ],
)
def test_prompts_of_every_format(row, prompt):
    assert read(row, "prompts").prompt == prompt


DEMONSTRATIONS = (
    "prompt+chosen+rejected or messages+chosen+rejected or chosen+rejected or prompt+completion or"
    " instruction+output or messages or text"
)


@pytest.mark.parametrize(
    ("row", "purpose", "reason"),
    [
        (
            {},
            "demonstrations",
            f"no known format: the row has nothing; demonstrations need {DEMONSTRATIONS}",
        ),
        (
            {"x": 1, "y": 2},
            "demonstrations",
            f'no known format: the row has "x", "y"; demonstrations need {DEMONSTRATIONS}',
        ),
        ({"prompt": "a"}, "demonstrations", 'missing "completion": the row has "prompt"'),
        (
            {"prompt": "a", "completon": "b"},
            "demonstrations",
            (
                'missing "completion": the row has "prompt", "completon"; did you write "completon"'
                " for it?"
            ),
        ),
        (
            {"txt": "a"},
            "demonstrations",
            'missing "text": the row has "txt"; did you write "txt" for it?',
        ),
        (
            {"promt": "a", "completon": "b"},
            "demonstrations",
            (
                'missing "prompt" and "completion": the row has "promt", "completon"; did you write'
                ' "promt" and "completon" for them?'
            ),
        ),
        (
            {"prompt": "a", "chosen": "b"},
            "preferences",
            'missing "rejected": the row has "prompt", "chosen"',
        ),
        (
            {"instruction": "a", "ouput": "b"},
            "demonstrations",
            'missing "output": the row has "instruction", "ouput"; did you write "ouput" for it?',
        ),
        ({"text": 3}, "demonstrations", '"text" is a number, not text'),
        (
            {"text": "word"},
            "demonstrations",
            '"text" is one word: no room for a prompt and a completion',
        ),
        ({"prompt": "a", "completion": None}, "demonstrations", '"completion" is null, not text'),
        ({"prompt": " ", "completion": "a"}, "demonstrations", '"prompt" is empty'),
        ({"prompt": "a", "completion": ""}, "demonstrations", '"completion" is empty'),
        (
            {"prompt": "a", "completion": "b\ud800"},
            "demonstrations",
            '"completion" holds half of a surrogate pair at character 2',
        ),
        (
            {"instruction": "a", "input": 3, "output": "b"},
            "demonstrations",
            '"input" is a number, not text',
        ),
        ({"instruction": "a", "output": ""}, "demonstrations", '"output" is empty'),
        (
            {"prompt": "a", "chosen": "b", "rejected": "b"},
            "preferences",
            '"chosen" and "rejected" are the same',
        ),
        (
            {"prompt": "a", "chosen": "b", "rejected": True},
            "preferences",
            '"rejected" is true or false, not text',
        ),
        ({"chosen": "b", "rejected": "b"}, "preferences", '"chosen" and "rejected" are the same'),
        (
            {"chosen": "b", "rejected": "c"},
            "preferences",
            (
                'no "prompt", and "chosen" and "rejected" do not begin with one text up to'
                " '\\n\\nAssistant:'"
            ),
        ),
        ({"messages": "hello"}, "demonstrations", '"messages" is text, not a list of turns'),
        ({"messages": []}, "demonstrations", '"messages" is empty'),
        (
            {"messages": [USER]},
            "demonstrations",
            '"messages" does not end with a turn of the assistant, so nothing is demonstrated',
        ),
        ({"messages": [BOT]}, "demonstrations", '"messages" has no turn before the assistant\'s'),
        (
            {"messages": [{"role": "user"}]},
            "prompts",
            'turn 1 of "messages" is no object with "role" and "content"',
        ),
        (
            {"messages": [USER, {"role": "tool", "content": "x"}]},
            "prompts",
            "turn 2 of \"messages\" has the role 'tool'; known: user, assistant, system",
        ),
        (
            {"messages": [{"role": "user", "content": ""}]},
            "prompts",
            'turn 1 of "messages": "content" is empty',
        ),
        (
            {"prompt": [USER, BOT], "completion": "a"},
            "demonstrations",
            '"prompt" ends with a turn of the assistant, so there is nothing to answer',
        ),
        (
            {"prompt": [USER], "completion": [USER]},
            "demonstrations",
            '"completion" must be one turn of the assistant after a prompt',
        ),
        ({"prompt": {}, "completion": "a"}, "demonstrations", '"prompt" is an object, not text'),
    ],
)
def test_bad_rows_say_why(row, purpose, reason):
    with pytest.raises(RowError) as error:
        read(row, purpose)
    assert str(error.value) == reason


def test_a_pair_may_have_a_margin():
    row = {"prompt": "a", "chosen": " b", "rejected": " c", "margin": 2}
    assert parse(row, ("prompt", "chosen", "rejected"), "preferences", 4).margin == 2.0
    with pytest.raises(RowError, match='"margin" is'):
        parse({**row, "margin": "much"}, ("prompt", "chosen", "rejected"), "preferences", 4)
