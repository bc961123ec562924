"""What the report finds in real sets is what their README says. No row is shown: some of them are
offensive."""

from pathlib import Path

import pytest

from rlhf.data.report.baselines import length_bias, with_tfidf
from rlhf.data.report.measure import prompts_in_common
from rlhf.data.sources.files import Files
from rlhf.data.tokenizers import word_level

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data beside the repository")

UKP = "ukp_convarg/preference_pairs.jsonl.gz"
HH = "hh_rlhf/harmless_base_test_subset.jsonl.gz"
# the share of pairs whose chosen side is longer, by the README of the sets
BIAS = {
    UKP: 0.76,
    "oasst/preference_pairs.jsonl.gz": 0.70,
    "gsm8k/preference_correctness.jsonl.gz": 0.55,
    "qa_feedback/preference_pairs.jsonl.gz": 0.51,
    HH: 0.44,
}


def path(name):
    if not (DATA / name).is_file():
        pytest.skip(f"no {name} in ../shared/data")
    return str(DATA / name)


def load(preferences, demonstrations="gsm8k/sft_train.jsonl.gz", prompts=None):
    return Files(
        demonstrations=path(demonstrations),
        preferences=path(preferences),
        prompts=prompts and path(prompts),
        **{"gold": None, "prompt_words": 4, "pairs": 10, "label_temperature": 0.25},
        **{"heldout_fraction": 0.1, "seed": 0, "vocabulary": 300, "max_response_tokens": 8},
    ).load()


def test_a_question_is_on_one_side_in_whatever_file_and_format_it_is():
    """Word problems are `instruction` here and `prompt` there; contexts are messages here and a
    question there."""
    problems = load("gsm8k/preference_correctness.jsonl.gz")
    parts = {"demonstrations": problems.demonstrations, "preferences": problems.preferences}
    both, shared = prompts_in_common(parts)
    assert (sum(both.values()), shared) == (0, {"demonstrations, preferences": 0})
    talks = load("oasst/preference_pairs.jsonl.gz", prompts="prompts/oasst_prompts.jsonl")
    both, shared = prompts_in_common({"preferences": talks.preferences, "prompts": talks.prompts})
    assert (sum(both.values()), shared) == (0, {"preferences, prompts": 78})


@pytest.mark.parametrize("name", BIAS)
def test_length_bias_is_that_of_the_readme_and_no_prompt_is_on_both_sides(name):
    data = load(name, prompts="prompts/oasst_prompts.jsonl")
    bias = length_bias(data.preferences).chosen_longer
    parts = {part: getattr(data, part) for part in ("demonstrations", "preferences", "prompts")}
    leaks = sum(prompts_in_common(parts)[0].values())
    assert (round(bias, 2), leaks) == (BIAS[name], 0)


def test_words_tell_more_than_lengths_of_harmless_pairs():
    pairs = load(HH).preferences
    measured = with_tfidf(length_bias(pairs), pairs)
    accuracies = (measured.longer_wins.accuracy, measured.tfidf.accuracy)
    assert accuracies[0] < 0.5 < accuracies[1] - 2 * measured.tfidf.se


def test_a_limit_of_64_loses_nearly_all_of_two_sets(tmp_path):
    """As it was by default: of one every row, of the other most pairs, whose sides are the same
    after the cut."""
    from rlhf.data.collate import encode_demonstrations, encode_preferences
    from rlhf.data.lengths import Limit
    from tests.turns import rendering

    data = load(HH)
    demonstrations, pairs = data.demonstrations.train[:300], data.preferences.train[:300]
    asked = [turn for row in (*demonstrations, *pairs) for turn in row.prompt]
    words = [turn.content for turn in asked]
    words += [answer for row in (*demonstrations, *pairs) for answer in row.answers]
    turns = rendering(word_level(words), "transcript")
    fates = [row.fate for row in encode_demonstrations(turns, demonstrations, Limit(most=64))]
    assert fates.count("whole") < 0.05 * len(fates)
    rows = encode_preferences(turns, pairs, Limit(most=64))
    same = sum(row.same for row in rows)
    assert same > 0.5 * len(rows)
