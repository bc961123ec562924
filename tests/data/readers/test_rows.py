"""Every format, by rows written by hand: the turns, the answers, and what is refused with why."""

import math

import pytest

from rlhf.data.conversations import Turn, asked
from rlhf.data.readers.formats import detect
from rlhf.data.readers.rows import Row, parse
from rlhf.data.readers.values import RowError

USER = {"role": "user", "content": "Why?"}
BOT = {"role": "assistant", "content": "So."}
SYSTEM = {"role": "system", "content": "Be kind."}
OTHER = {"role": "assistant", "content": "No."}
WHY = asked("Why?")
KIND = Turn("system", "Be kind.")
LONGER = (Turn("user", "Why?"), Turn("assistant", "So."), Turn("user", "Really?"))
HH = "\n\nHuman: Why?\n\nAssistant: So.\n\nHuman: Really?\n\nAssistant:"


def read(row, purpose, prompt_words=2):
    return parse(row, detect(row, purpose), purpose, prompt_words)


def said(*texts):
    """ShareGPT's turns, a person first."""
    speakers = ("human", "gpt")
    return [{"from": speakers[i % 2], "value": text} for i, text in enumerate(texts)]


DEMONSTRATIONS = {
    "text": (
        {"text": " a fine film indeed . ", "label": 1},
        Row(prompt=asked("a fine"), completion=" film indeed .", continues=True),
    ),
    "prompt and completion": (
        {"prompt": "Why?", "completion": " So."},
        Row(prompt=WHY, completion=" So.", continues=True),
    ),
    "the same as turns": (
        {"prompt": [USER], "completion": [BOT]},
        Row(prompt=WHY, completion="So."),
    ),
    "turns and a text": (
        {"prompt": [SYSTEM, USER], "completion": "So."},
        Row(prompt=(KIND, *WHY), completion="So."),
    ),
    "a transcript and its end": (
        {"prompt": HH, "completion": " Yes."},
        Row(prompt=LONGER, completion="Yes."),
    ),
    "alpaca with input": (
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        Row(prompt=asked("Add.\n\n1 2"), completion="3"),
    ),
    "alpaca, empty input": (
        {"instruction": "Add.", "input": "", "output": "3"},
        Row(prompt=asked("Add."), completion="3"),
    ),
    "alpaca, null input": (
        {"instruction": "Add {x}.", "input": None, "output": "3"},
        Row(prompt=asked("Add {x}."), completion="3"),
    ),
    "alpaca with context and system": (
        {"instruction": "Add.", "context": "1 2", "system": "Be kind.", "output": "3"},
        Row(prompt=(KIND, *asked("1 2\n\nAdd.")), completion="3"),
    ),
    "messages": (
        {"messages": [SYSTEM, USER, BOT]},
        Row(prompt=(KIND, *WHY), completion="So."),
    ),
    "messages that go on after the last answer": (
        {"messages": [USER, BOT, USER]},
        Row(prompt=WHY, completion="So."),
    ),
    "messages of parts": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}, BOT]},
        Row(prompt=WHY, completion="So."),
    ),
    "sharegpt": (
        {"conversations": said("Why?", "So.", "Really?", "Yes.")},
        Row(prompt=LONGER, completion="Yes."),
    ),
    "sharegpt, system and tool": (
        {
            "conversations": [
                {"from": "system", "value": "Be kind."},
                {"from": "human", "value": "Why?"},
                {"from": "tool", "value": "42"},
                {"from": "gpt", "value": "So."},
            ]
        },
        Row(prompt=(KIND, *WHY, Turn("tool", "42")), completion="So."),
    ),
    "speakers of open assistant": (
        {"messages": [{"role": "prompter", "content": "Why?"}, {"role": "Bot", "content": "So."}]},
        Row(prompt=WHY, completion="So."),
    ),
}
PAIR = Row(prompt=WHY, completion="So.", rejected="No.")
PAIRS = {
    "standard": ({"prompt": "Why?", "chosen": "So.", "rejected": "No.", "other": 1}, PAIR),
    "conversational": ({"prompt": [USER], "chosen": [BOT], "rejected": [OTHER]}, PAIR),
    "single turns": ({"conversations": said("Why?"), "chosen": BOT, "rejected": OTHER}, PAIR),
    "oasst": ({"messages": [USER], "chosen": "So.", "rejected": "No."}, PAIR),
    "implicit prompt": ({"chosen": [USER, BOT], "rejected": [USER, OTHER]}, PAIR),
    "conversations and the prompt again": (
        {"prompt": "Why?", "chosen": [USER, BOT], "rejected": [USER, OTHER]},
        PAIR,
    ),
    "conversations and the prompt's turns again": (
        {"prompt": [USER], "chosen": [USER, BOT], "rejected": [USER, OTHER]},
        PAIR,
    ),
    "conversations and one turn again": (
        {"prompt": USER, "chosen": [USER, BOT], "rejected": [USER, OTHER]},
        PAIR,
    ),
    "instruction": (
        {"instruction": "Add.", "input": "1 2", "chosen": "3", "rejected": "4"},
        Row(prompt=asked("Add.\n\n1 2"), completion="3", rejected="4"),
    ),
    "context": (
        {"prompt": "Why?", "context": "Because.", "chosen": "So.", "rejected": "No."},
        Row(prompt=asked("Because.\n\nWhy?"), completion="So.", rejected="No."),
    ),
    "a transcript as the prompt": (
        {"prompt": HH, "chosen": " Yes.", "rejected": " No."},
        Row(prompt=LONGER, completion="Yes.", rejected="No."),
    ),
    "transcripts": (
        {"chosen": HH + " Yes.", "rejected": HH + " No."},
        Row(prompt=LONGER, completion="Yes.", rejected="No."),
    ),
    "transcripts without the blank line at their head": (
        {"chosen": HH.strip() + " Yes.", "rejected": HH.strip() + " No."},
        Row(prompt=LONGER, completion="Yes.", rejected="No."),
    ),
    "texts that only begin like one": (
        {"prompt": "Human: a film", "chosen": "So.", "rejected": "No."},
        Row(prompt=asked("Human: a film"), completion="So.", rejected="No."),
    ),
    "transcripts, an empty answer": (
        {"chosen": HH, "rejected": HH + " No."},
        Row(prompt=LONGER, completion="", rejected="No."),
    ),
    "transcripts, two turns of the assistant in a row": (
        {"chosen": HH + " Yes.\n\nAssistant: Sure.", "rejected": HH + " No."},
        Row(prompt=LONGER, completion="Yes.\n\nSure.", rejected="No."),
    ),
    "one transcript begins the other": (
        {"chosen": HH + " Yes.", "rejected": HH + " Yes.\n\nAssistant: Sure."},
        Row(prompt=LONGER, completion="Yes.", rejected="Yes.\n\nSure."),
    ),
    "texts that share their first words": (
        {"chosen": "The sky is blue.", "rejected": "The sky is blind."},
        Row(prompt=asked("The sky is"), completion=" blue.", rejected=" blind.", continues=True),
    ),
    "alpacafarm, the first": (
        {"instruction": "Add.", "input": "1", "output_1": "3", "output_2": "4", "preference": 1},
        Row(prompt=asked("Add.\n\n1"), completion="3", rejected="4"),
    ),
    "alpacafarm, the second": (
        {"instruction": "Add.", "output_1": "3", "output_2": "4", "preference": "2"},
        Row(prompt=asked("Add."), completion="4", rejected="3"),
    ),
    "alpacafarm, a fraction": (
        {"instruction": "Add.", "output_1": "3", "output_2": "4", "preference": 1.51},
        Row(prompt=asked("Add."), completion="4", rejected="3"),
    ),
}


@pytest.mark.parametrize(("row", "expected"), DEMONSTRATIONS.values(), ids=DEMONSTRATIONS)
def test_demonstrations_of_every_format(row, expected):
    assert read(row, "demonstrations") == expected


@pytest.mark.parametrize(("row", "expected"), PAIRS.values(), ids=PAIRS)
def test_pairs_of_every_format_are_demonstrations_too(row, expected):
    assert read(row, "preferences") == expected
    assert read(row, "demonstrations") == expected


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": "Why?", "category": "x"}, WHY),
        ({"prompt": [USER]}, WHY),
        ({"prompt": HH}, LONGER),
        ({"instruction": "Add.", "input": "1 2"}, asked("Add.\n\n1 2")),
        ({"messages": [USER]}, WHY),
        ({"messages": [USER, BOT]}, WHY),
        ({"conversations": said("Why?", "So.", "Really?")}, LONGER),
        ({"messages": [{"role": "user", "content": "Why?"}, BOT, USER]}, (*LONGER[:2], *WHY)),
        ({"messages": [USER, BOT, USER], "chosen": "So.", "rejected": "No."}, (*LONGER[:2], *WHY)),
        ({"conversations": said("Why?", "So.")}, WHY),
        ({"text": "a fine film"}, asked("a fine")),
        ({"chosen": [USER, BOT], "rejected": [USER, OTHER]}, WHY),
        ({"prompt": "Why?", "completion": "So.", "label": True}, WHY),
    ],
)
def test_prompts_of_every_format(row, prompt):
    assert read(row, "prompts").prompt == prompt


def test_prompts_of_text_that_goes_on():
    assert read({"prompt": "a", "completion": " b"}, "prompts").continues
    assert read({"text": "a fine film"}, "prompts").continues
    assert not read({"prompt": "a"}, "prompts").continues


BARE = {"prompt": "a", "chosen": "b", "rejected": "c"}


@pytest.mark.parametrize(
    ("columns", "margin"),
    [
        ({}, None),
        ({"margin": 2}, 2.0),
        ({"margin": "-0.5"}, -0.5),  # of CSV
        ({"margin": ""}, None),
        # (4 + 1) / (5 - 4 + 1) = 2.5; (2 + 1) / (3 + 1) = 0.75; (5 + 1) / (0 + 1) = 6
        ({"votes_chosen": 4, "votes_total": 5}, math.log(2.5)),
        ({"votes_chosen": 2, "votes_total": 5}, math.log(0.75)),
        ({"votes_chosen": "5", "votes_total": "5"}, math.log(6)),
        ({"votes_chosen": 2, "votes_total": 4}, 0.0),
        ({"margin": 1, "votes_chosen": 4, "votes_total": 5}, 1.0),
        ({"votes_chosen": 4}, None),
    ],
)
def test_margins_and_votes(columns, margin):
    assert read({**BARE, **columns}, "preferences").margin == margin
    assert read({"prompt": "a", "completion": "b", **columns}, "demonstrations").margin is None


@pytest.mark.parametrize(
    ("columns", "reference"),
    [
        ({}, None),
        ({"final_answer": "72"}, "72"),
        ({"answer": 72}, "72"),
        ({"gold": "yes"}, "yes"),
        ({"reference": "one", "answer": "two"}, "one"),
        ({"reference": "", "answer": "two"}, "two"),
        ({"answer": ["not", "one"], "gold": "three"}, "three"),
        ({"answer": True}, None),
    ],
)
def test_the_reference(columns, reference):
    assert read({"instruction": "a", "output": "b", **columns}, "demonstrations").reference == (
        reference
    )
    assert read({"prompt": "a", **columns}, "prompts").reference == reference


FORMATS = (
    "prompt+chosen+rejected or messages+chosen+rejected or conversations+chosen+rejected or"
    " instruction+chosen+rejected or instruction+output_1+output_2+preference or chosen+rejected"
    " or prompt+completion or instruction+output or messages or conversations or text, or"
    " data.columns to say which column is which"
)
FARM = {"instruction": "a", "output_1": "b", "output_2": "c"}


@pytest.mark.parametrize(
    ("row", "purpose", "reason"),
    [
        (
            {},
            "demonstrations",
            f"no known format: the row has nothing; demonstrations need {FORMATS}",
        ),
        (
            {"x": 1, "y": 2},
            "demonstrations",
            f'no known format: the row has "x", "y"; demonstrations need {FORMATS}',
        ),
        ({"prompt": "a"}, "demonstrations", 'missing "completion": the row has "prompt"'),
        (
            {"prompt": "a", "completon": "b"},
            "demonstrations",
            'missing "completion": the row has "prompt", "completon"; did you write "completon"'
            " for it?",
        ),
        (
            {"txt": "a"},
            "demonstrations",
            'missing "text": the row has "txt"; did you write "txt" for it?',
        ),
        (
            {"promt": "a", "completon": "b"},
            "demonstrations",
            'missing "prompt" and "completion": the row has "promt", "completon"; did you write'
            ' "promt" and "completon" for them?',
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
            {**BARE, "rejected": "b"},
            "preferences",
            '"chosen" and "rejected" are the same',
        ),
        ({**BARE, "rejected": True}, "preferences", '"rejected" is true or false, not text'),
        ({**BARE, "margin": "much"}, "preferences", '"margin" is text, not a finite number'),
        ({**BARE, "margin": math.inf}, "preferences", '"margin" is a number, not a finite number'),
        ({**BARE, "margin": True}, "preferences", '"margin" is true or false, not a finite number'),
        (
            {**BARE, "votes_chosen": 6, "votes_total": 5},
            "preferences",
            '"votes_chosen" is 6 of 5 votes',
        ),
        (
            {**BARE, "reference": ["x"]},
            "preferences",
            '"reference" is a list, not text or a number',
        ),
        ({"chosen": "b", "rejected": "b"}, "preferences", '"chosen" and "rejected" are the same'),
        (
            {"chosen": "b", "rejected": "c"},
            "preferences",
            'no "prompt", and "chosen" and "rejected" do not begin with the same words',
        ),
        (
            {"chosen": HH + " a", "rejected": "\n\nHuman: How?\n\nAssistant: b"},
            "preferences",
            '"chosen" and "rejected" share no turn at their beginning, so there is no prompt',
        ),
        (
            {
                "chosen": "\n\nHuman: Why?\n\nAssistant: x\n\nHuman: So?\n\nAssistant: b",
                "rejected": "\n\nHuman: Why?\n\nAssistant: y\n\nHuman: So?\n\nAssistant: b",
            },
            "preferences",
            '"chosen" and "rejected" part at turn 2, and "chosen" goes on with other turns than the'
            " assistant's: they are no two answers to one prompt",
        ),
        (
            {"chosen": "\n\nHuman: Why?", "rejected": "\n\nHuman: Why?\n\nAssistant: y"},
            "preferences",
            '"chosen" ends with no turn of the assistant, so it is no answer',
        ),
        ({"messages": "hello"}, "demonstrations", '"messages" is text, not a list of turns'),
        ({"messages": []}, "demonstrations", '"messages" is empty'),
        (
            {"messages": [USER]},
            "demonstrations",
            '"messages" has no turn of the assistant, so nothing is demonstrated',
        ),
        ({"messages": [BOT]}, "demonstrations", '"messages" has no turn before the assistant\'s'),
        (
            {"messages": [{"role": "user"}]},
            "prompts",
            'turn 1 of "messages" is no object with "role" and "content" (or "from" and "value")',
        ),
        (
            {"messages": [USER, {"role": "narrator", "content": "x"}]},
            "prompts",
            "turn 2 of \"messages\" has the role 'narrator'; known: human, prompter, gpt, chatgpt,"
            " bot, model, developer, function, observation, system, user, assistant, tool",
        ),
        (
            {"messages": [{"role": "user", "content": ""}]},
            "prompts",
            'turn 1 of "messages": "content" is empty',
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{}]}]},
            "prompts",
            'turn 2 of "messages" calls a tool and says nothing: calls of tools are not read',
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "prompts",
            'turn 1 of "messages" has parts that are no text (an image, a file): text alone is'
            " read",
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
        (
            {**FARM, "preference": 0},
            "preferences",
            '"preference" is a tie, so neither output is the better one',
        ),
        (
            {**FARM, "preference": 1.5},
            "preferences",
            '"preference" is a tie, so neither output is the better one',
        ),
        (
            {**FARM, "preference": 3},
            "preferences",
            '"preference" is 3, not from 1 (output_1) to 2 (output_2)',
        ),
        (
            {**FARM, "output_2": "b", "preference": 1},
            "preferences",
            '"output_1" and "output_2" are the same',
        ),
    ],
)
def test_bad_rows_say_why(row, purpose, reason):
    with pytest.raises(RowError) as error:
        read(row, purpose)
    assert str(error.value) == reason


@pytest.mark.parametrize("label", [True, False, 1, 0, "True", "false", "1", "0 ", 1.0])
@pytest.mark.parametrize("purpose", ["demonstrations", "preferences"])
def test_answers_with_verdicts_are_refused_with_what_to_do(label, purpose):
    with pytest.raises(RowError, match=r"KTO.*prompt\+chosen\+rejected.*columns=\{label: null\}"):
        read({"prompt": "a", "completion": "b", "label": label}, purpose)
    assert read({"prompt": "a", "completion": "b", "label": "long"}, "demonstrations").completion


def test_verdicts_on_steps_are_refused():
    row = {"prompt": "a", "completions": ["b"], "labels": [True]}
    with pytest.raises(RowError, match="verdicts on the steps"):
        read(row, "preferences")
