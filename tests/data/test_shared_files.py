"""The readers on real files, where they lie beside the repository. Failures must not show rows:
some of them are offensive."""

from pathlib import Path

import pytest

from rlhf.data.sources.jsonl import JsonLines, read_rows
from rlhf.data.sources.rt_polarity import RTPolarity

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data beside the repository")

FILES = [
    ("gsm8k/sft_train.jsonl.gz", "demonstrations", 7473),
    ("gpteacher/sft_code.jsonl.gz", "demonstrations", 4283),
    ("gpteacher/sft_roleplay.jsonl.gz", "demonstrations", 1835),
    ("gsm8k/preference_correctness.jsonl.gz", "preferences", 1701),
    ("ukp_convarg/preference_pairs.jsonl.gz", "preferences", 8286),
    ("qa_feedback/preference_pairs.jsonl.gz", "preferences", 2027),
    ("oasst/preference_pairs.jsonl.gz", "preferences", 607),
    ("hh_rlhf/harmless_base_test_subset.jsonl.gz", "preferences", 1818),
    ("prompts/oasst_prompts.jsonl", "prompts", 288),
    ("prompts/vicuna_80.jsonl", "prompts", 80),
    ("prompts/self_instruct_seed.jsonl", "prompts", 173),
    ("prompts/self_instruct_seed.jsonl", "demonstrations", 173),
    ("prompts/self_instruct_user_oriented.jsonl", "prompts", 250),
]


def found(name):
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"no {name} in ../shared/data")
    return path


@pytest.mark.parametrize(("name", "purpose", "rows"), FILES)
def test_every_row_is_read(name, purpose, rows):
    faults = []
    count = len(read_rows(found(name), purpose, 4, faults))
    problems = len(faults)
    assert (count, problems) == (rows, 0)


def test_transcripts_become_pairs_that_end_where_the_answer_begins():
    rows = read_rows(found("hh_rlhf/harmless_base_test_subset.jsonl.gz"), "preferences", 4, [])
    ends = sum(row.prompt.endswith("\n\nAssistant:") for row in rows)
    differ = sum(row.completion != row.rejected for row in rows)
    whole = sum("\n\nAssistant:" not in row.completion + row.rejected for row in rows)
    assert (ends, differ) == (1818, 1818)
    assert whole == 1815  # in three rows the transcripts part in an earlier answer


def test_pairs_and_demonstrations_split_by_prompt_though_prompts_repeat():
    source = JsonLines(
        demonstrations=str(found("gsm8k/sft_train.jsonl.gz")),
        preferences=str(found("qa_feedback/preference_pairs.jsonl.gz")),
        prompts=str(found("prompts/vicuna_80.jsonl")),
        gold=None,
        prompt_words=4,
        pairs=0,
        label_temperature=1.0,
        heldout_fraction=0.1,
        seed=0,
        vocabulary=2000,
        max_response_tokens=32,
    )
    data = source.load()
    for split in (data.demonstrations, data.preferences):
        train, heldout = {row.prompt for row in split.train}, {row.prompt for row in split.heldout}
        assert len(train & heldout) == 0
        assert 0.05 < len(heldout) / len(train | heldout) < 0.15
    assert len(data.preferences.train) + len(data.preferences.heldout) == 2027
    assert data.prompts.heldout


def test_film_reviews():
    source = RTPolarity(
        path=str(found("rt_polarity/snippets.jsonl.gz").parent),
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
        [row.prompt for row in data.demonstrations.heldout],
        [row.completion for row in data.demonstrations.heldout],
    )
    mean = sum(gold) / len(gold)
    assert 0.8 < (sum((x - mean) ** 2 for x in gold) / len(gold)) ** 0.5 < 1.1
    assert source.classifier.heldout_accuracy > 0.72
