import subprocess
import sys

import pytest

from rlhf.data.conversations import shown
from rlhf.data.gold import ReviewGold
from rlhf.data.records import DataError
from rlhf.data.sources.grammar import WORD, breaks
from rlhf.data.sources.reviews import Reviews

SETTINGS = {
    "seed": 0,
    "demonstrations": 600,
    "pairs": 400,
    "label_temperature": 1.0,
    "prompts": 200,
    "heldout_fraction": 0.2,
    "max_response_tokens": 20,
}


def source(**changes):
    return Reviews(**{**SETTINGS, **changes})


@pytest.fixture(scope="module")
def data():
    return source().load()


def test_counts_and_split_by_prompt(data):
    assert len(data.demonstrations.train) + len(data.demonstrations.heldout) == 600
    assert len(data.preferences.train) + len(data.preferences.heldout) == 400
    assert len(data.prompts.train) + len(data.prompts.heldout) == 200
    train, heldout = ({p.text for p in side} for side in (data.prompts.train, data.prompts.heldout))
    assert 20 <= len(heldout) <= 60 and not train & heldout
    for split in (data.demonstrations, data.preferences):
        assert {shown(row.prompt) for row in split.train} <= train
        assert {shown(row.prompt) for row in split.heldout} <= heldout
        assert split.heldout
    texts = [shown(row.prompt) + row.completion for row in data.demonstrations.train]
    assert not any(text.startswith(prompt + " ") for text in texts for prompt in heldout)


def test_same_seed_same_content_and_each_setting_shows_in_the_fingerprint(data):
    assert source().load().fingerprint == data.fingerprint
    changes = [
        {"seed": 1},
        {"demonstrations": 601},
        {"pairs": 401},
        {"prompts": 201},
        {"heldout_fraction": 0.3},
        {"label_temperature": 0.1},
    ]
    assert (
        len({data.fingerprint, *(source(**change).load().fingerprint for change in changes)}) == 7
    )


def test_more_pairs_leave_the_demonstrations_as_they_are(data):
    assert source(pairs=500).load().demonstrations == data.demonstrations


def test_pairs_are_two_grammatical_completions_and_the_better_one_wins_more_often(data):
    gold = ReviewGold()
    pairs = data.preferences.train
    for pair in pairs:
        assert pair.chosen != pair.rejected and pair.margin is None
        assert breaks(WORD.findall(pair.chosen)) == breaks(WORD.findall(pair.rejected)) == 0
    right = sum(
        gold.score(shown(p.prompt), p.chosen) > gold.score(shown(p.prompt), p.rejected)
        for p in pairs
    ) / len(pairs)
    assert 0.65 < right < 0.85
    sharp = source(label_temperature=0.0).load().preferences.train
    assert all(
        gold.score(shown(p.prompt), p.chosen) >= gold.score(shown(p.prompt), p.rejected)
        for p in sharp
    )


def test_a_bag_of_words_reward_is_fooled_by_praise():
    """The precondition of over-optimisation: what the pairs teach about words ranks a pile of
    praise above every real sentence."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    data = source(pairs=2000, prompts=1000, demonstrations=1000).load()
    words = sorted(
        {
            word
            for p in data.preferences.train
            for text in (p.chosen, p.rejected)
            for word in WORD.findall(text)
        }
    )

    def bag(text):
        found = WORD.findall(text)
        return np.array([found.count(word) for word in words], float)

    difference = np.array(
        [bag(pair.chosen) - bag(pair.rejected) for pair in data.preferences.train]
    )
    rows, labels = np.vstack([difference, -difference]), np.repeat([1, 0], len(difference))
    weights = LogisticRegression(fit_intercept=False).fit(rows, labels).coef_[0]
    correct = np.mean(
        [(bag(p.chosen) - bag(p.rejected)) @ weights > 0 for p in data.preferences.heldout]
    )
    assert correct > 0.65
    texts = [(shown(row.prompt), row.completion) for row in data.demonstrations.train]
    proxy = [bag(text) @ weights for _, text in texts]
    gold = ReviewGold()(*zip(*texts, strict=True))
    pile = f" {words[int(np.argmax(weights))]}" * 19
    assert bag(pile) @ weights > max(proxy)
    assert ReviewGold().score(texts[0][0], pile) < np.mean(gold) - 3 * np.std(gold)


@pytest.mark.parametrize("prompts", [1, 1249])
def test_more_prompts_than_the_grammar_has(prompts):
    with pytest.raises(
        DataError, match=f"data.prompts={prompts}: the grammar has 1248 prompts; give 2 to 1248"
    ):
        source(prompts=prompts).load()


def test_loading_imports_nothing_heavy():
    code = f"""
import sys
from rlhf.data.sources.reviews import Reviews
Reviews(**{SETTINGS!r}).load()
import rlhf.data.sources.micro, rlhf.data.sources.files, rlhf.data.sources.rt_polarity
import rlhf.data.tokenizers
names = "torch transformers tokenizers sklearn numpy vaderSentiment pytorch_lightning mlflow"
heavy = set(names.split()) & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_longest_completion_fits_with_eos(data):
    tokenizer = source().tokenizer(data)
    longest = max(
        len(tokenizer(row.completion, add_special_tokens=False).input_ids)
        for row in data.demonstrations.train
    )
    assert longest + 1 <= SETTINGS["max_response_tokens"]
