"""The readers and the presets on real files, where they lie beside the repository. Failures must
not show rows: some of them are offensive."""

from pathlib import Path

import pytest

from rlhf.config.build import build
from rlhf.config.compose import compose
from rlhf.config.validate import validate
from rlhf.data.conversations import alternation_fault
from rlhf.data.readers.parts import Place, Reader
from rlhf.data.sources.rt_polarity import RTPolarity

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data beside the repository")

# rows as the README of the sets counts them; prompts where the preset has a file of them
PRESETS = {
    "gsm8k": {"demonstrations": 7473, "preferences": 1701},
    "gpteacher": {"demonstrations": 4283 + 1835},
    "hh_rlhf": {"demonstrations": 1818, "preferences": 1818},
    "ukp_convarg": {"demonstrations": 8286, "preferences": 8286},
    "qa_feedback": {"demonstrations": 2027, "preferences": 2027},
    "oasst": {"demonstrations": 607, "preferences": 607, "prompts": 288},
    "self_instruct": {"demonstrations": 173 + 250},
    "vicuna": {"prompts": 80},
    "alpaca_eval_nc": {"demonstrations": 6524, "preferences": 6524},
}


def existing(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {name} in ../shared/data")
    return path


def read(name, purpose):
    reader = Reader(prompt_words=4, seed=0)
    rows = reader.read([Place(path=str(existing(name)))], purpose)
    problems = len(reader.faults) + len(reader.bad_rows)
    assert problems == 0
    return rows


def loaded(preset):
    # a set of prompts alone has enough for PPO by a reward of texts
    alone = ["sft=none", "data.gold=vader", "scorer=gold", "ppo.value_init=policy"]
    lines = [f"data={preset}", f"paths.data={DATA}", *alone]
    source = build(validate(compose(lines)).data)
    for place in (place for part in source.parts.values() for place in part):
        if "*" not in place.path:
            existing(Path(place.path).relative_to(DATA))
    return source.load()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_gives_the_rows_that_its_set_has(preset):
    data = loaded(preset)
    counts = {
        part: len(split.train) + len(split.heldout)
        for part in ("demonstrations", "preferences", "prompts")
        if (split := getattr(data, part)) is not None
    }
    expected = PRESETS[preset]
    assert {part: counts[part] for part in expected} == expected
    assert set(counts) == {*expected, "prompts"}
    assert not data.continues


@pytest.mark.parametrize("preset", PRESETS)
def test_no_first_question_of_a_set_is_on_both_sides(preset):
    data = loaded(preset)
    sides = []
    for side in ("train", "heldout"):
        parts = [getattr(part, side) for part in (data.demonstrations, data.preferences) if part]
        turns = [row.prompt for part in parts for row in part]
        turns += [prompt.turns for prompt in getattr(data.prompts, side)]
        first = (next(t for t in each if t.role == "user") for each in turns)
        sides.append({" ".join(turn.content.split()) for turn in first})
    assert len(sides[0] & sides[1]) == 0 and len(sides[1]) > 0


def test_transcripts_become_turns():
    rows = read("hh_rlhf/harmless_base_test_subset.jsonl.gz", "preferences")
    ends = sum(row.prompt[-1].role == "user" for row in rows)
    differ = sum(row.completion != row.rejected for row in rows)
    markers = sum(
        "\n\nAssistant:" in text or "\n\nHuman:" in text
        for row in rows
        for text in (row.completion, row.rejected, *(turn.content for turn in row.prompt))
    )
    # in three rows the chosen answer is two turns of the assistant in a row, a blank
    # line between; in one of them the assistant begins the second with "Human:" itself
    empty = sum(not row.completion or not row.rejected for row in rows)
    unlike = sum(alternation_fault(row.prompt) is not None for row in rows)
    assert (ends, differ, markers, empty, unlike) == (1818, 1818, 1, 2, 4)


def test_votes_are_margins_and_gold_answers_references():
    margins = [row.margin for row in read("ukp_convarg/preference_pairs.jsonl.gz", "preferences")]
    assert sum(margin < 0 for margin in margins) == 806  # votes_chosen is under half
    references = [row.reference for row in read("gsm8k/sft_train.jsonl.gz", "demonstrations")]
    assert references[0] == "72" and None not in references
    assert None not in [
        row.reference for row in read("qa_feedback/preference_pairs.jsonl.gz", "preferences")
    ]


def test_the_prompts_of_instructions_have_their_input():
    rows = read("gpteacher", "demonstrations")
    assert rows[0].prompt[0].content.endswith("\n\nwidth: 5, height: 8")
    assert {len(row.prompt) for row in rows} == {1}


def test_film_reviews():
    source = RTPolarity(
        path=str(existing("rt_polarity/snippets.jsonl.gz").parent),
        seed=0,
        prompt_words=4,
        prompts=1024,
        pairs=3000,
        label_temperature=0.25,
        heldout_fraction=0.1,
        vocabulary=2000,
        max_response_tokens=24,
    )
    data = source.load()
    train, heldout = (
        {row.prompt for row in data.demonstrations.train},
        {row.prompt for row in data.demonstrations.heldout},
    )
    assert len(train & heldout) == 0
    # three sentences are one word
    assert len(data.demonstrations.train) + len(data.demonstrations.heldout) == 10129
    assert len(data.prompts.train) + len(data.prompts.heldout) == 1024
    gold = source.gold(
        [row.prompt[0].content for row in data.demonstrations.heldout],
        [row.completion for row in data.demonstrations.heldout],
    )
    mean = sum(gold) / len(gold)
    assert 0.8 < (sum((x - mean) ** 2 for x in gold) / len(gold)) ** 0.5 < 1.1
    assert source.classifier.heldout_accuracy > 0.72
