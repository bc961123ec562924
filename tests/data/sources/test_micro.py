import itertools
import statistics
from collections import Counter

import pytest

from rlhf.data.records import DataError
from rlhf.data.sources.micro import Micro, MicroGold, WithError

SETTINGS = {
    "seed": 0,
    "vocabulary": 4,
    "prompts": 4,
    "demonstrations": 2000,
    "pairs": 1000,
    "label_temperature": 0.5,
    "max_response_tokens": 4,
}


def source(**changes):
    return Micro(**{**SETTINGS, **changes})


def test_gold_by_hand():
    gold = MicroGold({("a", "a"): 0.5, ("a", "b"): 1.0, ("b", "a"): -0.5, ("b", "b"): 0.0})
    prompts = ["a", "b a", "b", "a", "a"]
    responses = ["b", "b a b", "", "a a", "b a a"]
    # ab; ab+ba+ab and b..b; nothing; aa+aa and a..a; ab+ba+aa
    assert gold(prompts, responses) == [1.0, 1.0 - 0.5 + 1.0 + 1.0, 0.0, 0.5 + 0.5 + 1.0, 1.0]


def test_gold_is_no_sum_over_single_tokens():
    gold = source().gold
    scores = dict(
        zip(
            ["a b", "b a", "a a", "b b"], gold(["c"] * 4, ["a b", "b a", "a a", "b b"]), strict=True
        )
    )
    first_then_second = {
        word: gold.table["c", word[0]] + gold.table[word[0], word[2]] for word in scores
    }
    assert [scores[word] - first_then_second[word] for word in scores] == [0.0, 0.0, 1.0, 1.0]


def test_every_response_has_a_score():
    letters = "abcd"
    responses = [" ".join(r) for n in range(5) for r in itertools.product(letters, repeat=n)]
    assert len(responses) == 341
    scores = source().gold(["a"] * 341, responses)
    assert statistics.pstdev(scores) > 0.5


def test_prompts_and_split():
    for seed in range(5):
        data = source(seed=seed).load()
        assert (len(data.prompts.train), len(data.prompts.heldout)) == (3, 1)
        prompts = [p.text for p in data.prompts.train + data.prompts.heldout]
        assert len(set(prompts)) == 4
        assert sorted(len(prompt.split()) for prompt in prompts) == [1, 1, 2, 2]
        for split in (data.demonstrations, data.preferences):
            assert {row.prompt for row in split.train} == {p.turns for p in data.prompts.train}
            assert {row.prompt for row in split.heldout} == {p.turns for p in data.prompts.heldout}
        assert len(data.demonstrations.train) + len(data.demonstrations.heldout) == 2000


def test_corpus_fits_and_is_peaked():
    data = source().load()
    lengths = Counter(len(row.completion.split()) for row in data.demonstrations.train)
    assert set(lengths) == {1, 2, 3}
    after = Counter((row.prompt, row.completion.split()[0]) for row in data.demonstrations.train)
    for prompt in data.prompts.train:
        counts = sorted((after[prompt.turns, letter] for letter in "abcd"), reverse=True)
        assert counts[0] > 0.35 * sum(counts)


def test_seeded():
    assert source().load().fingerprint == source().load().fingerprint
    assert source().load().fingerprint != source(seed=1).load().fingerprint
    assert source(seed=1).gold.table != source().gold.table
    assert source(label_temperature=0.0).load().fingerprint != source().load().fingerprint


def test_tokenizer_has_the_letters_and_two_special_tokens():
    micro = source()
    tokenizer = micro.tokenizer(micro.load())
    assert len(tokenizer) == 6
    ids = tokenizer("a b", add_special_tokens=False).input_ids
    assert ids == [2, 3]
    assert (
        tokenizer.decode(
            [*ids, tokenizer.eos_token_id, tokenizer.pad_token_id], skip_special_tokens=True
        )
        == "a b"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": 27}, "data.vocabulary=27: give 2 to 26 letters"),
        ({"vocabulary": 2, "prompts": 7}, "data.prompts=7: 2 letters make 2 to 6 prompts"),
        ({"max_response_tokens": 1}, "data.max_response_tokens=1: a letter and EOS need 2"),
    ],
)
def test_impossible_sizes(changes, message):
    with pytest.raises(DataError, match=message):
        source(**changes).load()


def test_smallest_and_fullest():
    data = source(
        vocabulary=2, prompts=6, max_response_tokens=2, demonstrations=50, pairs=20
    ).load()
    assert {p.text for p in data.prompts.train + data.prompts.heldout} == {
        "a",
        "b",
        "a a",
        "a b",
        "b a",
        "b b",
    }
    assert {row.completion for row in data.demonstrations.train} == {" a", " b"}


def test_a_whole_word_is_worth_more_and_no_part_of_it():
    gold = MicroGold({("a", "b"): 0.5, ("b", "b"): -1.0}, "b b", 2.0)
    # ab + bb + the rhyme of b b, and the word; then only its beginning, and it with more
    assert gold(["a", "a", "a"], ["b b", "b", "b b b"]) == [0.5 - 1 + 1 + 2, 0.5, 0.5 - 2 + 1]


def test_a_likely_word_is_one_that_the_corpus_writes():
    peaked = {"peak": 4.0, "stop": 0.0, "demonstrations": 500}
    likely = source(word="likely", **peaked)
    assert len(likely.true.word.split()) == 3
    assert source(word="none").true.word == "" != source(word="any").true.word
    wrote = Counter(
        row.completion.strip() for row in likely.load().demonstrations.train if row.completion
    )
    assert all(len(text.split()) == 3 for text in wrote)  # stop=0: as many letters as fit


def test_peakedness_of_the_corpus():
    """peak=0: all letters are as likely; the largest share of first letters is near 1/4."""
    for peak, low, high in ((0.0, 0.25, 0.40), (4.0, 0.6, 1.0)):
        data = source(peak=peak).load()
        first = [(r.prompt, r.completion.split()[0]) for r in data.demonstrations.train]
        prompt = first[0][0]
        counts = Counter(letter for own, letter in first if own == prompt)
        assert low <= max(counts.values()) / sum(counts.values()) <= high


def test_an_error_of_the_reward_is_fixed_and_has_heavy_tails():
    """Student's t with 2 degrees of freedom: P(|t| > 4.303) = 0.05, and the gold behind it stays
    measured as `true`."""
    plain, wrong = source(), source(error=0.5)
    responses = [" ".join(r) for n in range(1, 6) for r in itertools.product("abcd", repeat=n)]
    prompts = ["a"] * len(responses)
    true, scored = plain.gold(prompts, responses), wrong.gold(prompts, responses)
    assert wrong.judges["true"](prompts, responses) == true and not plain.judges
    assert wrong.gold(prompts, responses) == scored
    assert wrong.gold(prompts[:1], [" a "]) == scored[:1]  # of the letters, not of the spaces
    errors = [abs(s - t) / 0.5 for s, t in zip(scored, true, strict=True)]
    beyond = sum(error > 4.303 for error in errors) / len(errors)
    assert len(errors) == 1364 and 0.03 < beyond < 0.07
    thin = WithError(plain.gold, seed=0, scale=1.0, degrees=1000.0)
    assert max(abs(thin.error("a", response)) for response in responses) < 5


def test_new_settings_leave_the_old_data_as_it_was():
    """Fingerprints of the revision before there were these settings."""
    assert source().load().fingerprint.startswith("735c3661f347a27b")
    other = source(seed=12, max_response_tokens=3)
    assert other.load().fingerprint.startswith("d94f45c58c86081a")
