import random

import pytest

from rlhf.data.sources.grammar import (
    CONTENT,
    STATES,
    STEPS,
    WEIGHTS,
    WORD,
    all_prompts,
    breaks,
    complete,
    spell,
)


def words(text):
    return WORD.findall(text)


def test_prompts_are_many_and_none_begins_another():
    prompts = all_prompts()
    assert len(prompts) == len(set(prompts)) == 12 * (8 + 12 * 8)
    ordered = sorted(prompts)
    assert not any(b.startswith(a + " ") for a, b in zip(ordered, ordered[1:], strict=False))
    assert {"this film", "i thought the plot of this film"} <= set(prompts)


def test_vocabulary_is_small_and_every_word_leaves_a_state_by_one_arc():
    every = {word for steps in STEPS.values() for word in steps} | {
        word for prompt in all_prompts() for word in words(prompt)
    }
    assert 100 <= len(every) <= 180
    for state, arcs in STATES.items():
        assert len(STEPS[state]) == len([word for arc in arcs for word in spell(arc.words)])
        assert not arcs or sum(arc.weight for arc in arcs) == pytest.approx(1)


def test_completions_are_grammatical_finished_and_say_no_content_word_twice():
    rng = random.Random(0)
    for prompt in rng.choices(all_prompts(), k=1000):
        text = complete(prompt, rng)
        found = words(text)
        content = [word for word in words(prompt) + found if word in CONTENT]
        assert text.startswith(" ") and text.endswith(".")
        assert breaks(found) == 0
        assert len(content) == len(set(content))


def test_the_longest_completion_and_eos_are_twenty_tokens():
    def longest(state):
        return max((1 + longest(arc.target) for arc in STATES[state]), default=0)

    assert longest("subject") == 19


def test_tone_turns_with_but_and_with_not():
    rng = random.Random(1)
    seen = set()
    for _ in range(3000):
        found, tone = words(complete("this film", rng)), {}
        clause = 0
        for before, word in zip(["", *found], found, strict=False):
            clause += word in ("but", "though")
            if word in WEIGHTS:
                sign = (WEIGHTS[word] > 0) != (before == "not")
                assert tone.setdefault(clause, sign) == sign, found
        seen.add(tuple(tone.values()))
    assert seen == {(True,), (False,), (True, False), (False, True)}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (" was good.", 0),
        (" was not very good.", 1),  # "not" leaves room for a quality only
        (" was good and warm and.", 2),  # a third "and", and the full stop after it
        (" great great great", 3),  # "great" is no word of the grammar
        (" superb superb superb", 3),
        # after the second "and" the sentence is taken up again
        (" was superb and superb and superb.", 1),
        (" was good. was good.", 1),
        (" was good.was good.", 1),
        ("", 0),
        (".", 1),
    ],
)
def test_breaks_by_hand(text, count):
    assert breaks(words(text)) == count


def test_same_seed_same_text():
    def texts(seed):
        rng = random.Random(seed)
        return [complete("this film", rng) for _ in range(20)]

    assert texts("7/x") == texts("7/x") != texts("8/x")
