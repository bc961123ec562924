import math
import random
import statistics

import pytest

from rlhf.data.gold import ReviewGold, VaderGold, saturate, sentiment
from rlhf.data.sources.grammar import WORD, all_prompts, complete

GOLD = ReviewGold()
PROMPT = "the plot of this film"


@pytest.fixture(scope="module")
def grammar_sentences():
    rng = random.Random(0)
    prompts = rng.choices(all_prompts(), k=3000)
    return prompts, [complete(prompt, rng) for prompt in prompts]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" was good.", 0.5),
        (" was very good.", 0.7),  # 1.4 x 0.5
        (" was rather awful.", -0.9),  # 0.6 x -1.5
        (" was not dull.", 0.5),  # -0.5 x -1
        (" was good and good.", 0.5),  # twice counts once
        (" was truly superb, but we hated it.", 2.1 - 1.5),
        (" was film.", 0.0),
    ],
)
def test_sentiment_by_hand(text, value):
    assert sentiment(WORD.findall(text)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" was good.", 3 * math.tanh(0.5 / 3)),
        (" was good", 3 * math.tanh(0.5 / 3) - 5 * math.tanh(1.5 / 5)),  # no full stop
        ("", -5 * math.tanh(1.5 / 5)),
        # three words that no sentence has there and no full stop: 4.5; two repeats of "great",
        # which is no word of the lexicon
        (" great great great", -5 * math.tanh(4.5 / 5)),
        (
            " superb superb superb",
            3 * math.tanh(1.5 / 3) - 5 * math.tanh(4.5 / 5) - 5 * math.tanh(1.5 / 5),
        ),
        # the prompt's "plot" comes again
        (" was good, but we liked the plot.", 3 * math.tanh(1.0 / 3) - 5 * math.tanh(0.75 / 5)),
    ],
)
def test_gold_by_hand(text, value):
    assert GOLD([PROMPT], [text]) == pytest.approx([value])


def test_saturate_is_the_identity_near_zero_and_bounded():
    assert saturate(1e-4, 3) == pytest.approx(1e-4)
    assert saturate(1e6, 3) == 3.0
    assert saturate(-1e6, 3) == -3.0


def test_grammar_sentences_spread_by_about_one_and_lie_below_neutral(grammar_sentences):
    scores = GOLD(*grammar_sentences)
    assert 0.9 < statistics.pstdev(scores) < 1.3
    assert -0.3 < statistics.mean(scores) < 0.0


def test_there_is_room_to_improve_and_room_to_overdo(grammar_sentences):
    scores = GOLD(*grammar_sentences)
    mean, spread = statistics.mean(scores), statistics.pstdev(scores)
    assert max(scores) > mean + 2 * spread
    praise = [
        " superb" * 19,
        " was superb" + " and superb" * 8 + ".",
        " brilliant superb wonderful gorgeous masterful loved moving warm.",
    ]
    for text in praise:
        assert GOLD.score(PROMPT, text) < mean - 1.0
    assert GOLD.score(PROMPT, " superb" * 19) < min(scores)


def test_praise_is_worth_more_than_blame(grammar_sentences):
    assert (
        GOLD.score(PROMPT, " was superb.")
        > GOLD.score(PROMPT, " was good.")
        > GOLD.score(PROMPT, " was slow.")
    )


def test_rows_must_match():
    with pytest.raises(ValueError, match="zip"):
        GOLD(["a", "b"], [" was good."])


def test_vader_is_twice_the_compound_of_prompt_and_response():
    # VADER's lexicon: good 1.9; compound = v / sqrt(v^2 + 15)
    compound = 1.9 / math.sqrt(1.9**2 + 15)
    assert VaderGold()(["the film"] * 2, [" was good", " was"]) == pytest.approx(
        [2 * round(compound, 4), 0.0]
    )
    assert VaderGold()(["the good"], [" film"]) == pytest.approx([2 * round(compound, 4)])
    assert VaderGold()([], []) == []
