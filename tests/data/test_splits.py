from hypothesis import given, strategies as st

from rlhf.data.splits import cut, divide, hold_out, position


def test_position_depends_on_prompt_and_seed_alone():
    # the first 8 bytes that sha256sum prints for "0", a line feed, "a"
    assert position("a", 0) == 0x0D3B8411BDE7FA84 / 2**64
    assert len({position("a", 0), position("a", 1), position("b", 0)}) == 3
    assert 0 <= position("a", 0) < 1


def test_side_does_not_depend_on_order_or_neighbours():
    prompts = [f"prompt {i}" for i in range(400)]
    held = hold_out([prompts], 0, 0.1)
    assert hold_out([prompts[::-1]], 0, 0.1) == held
    assert hold_out([prompts[:200]], 0, 0.1) == held & set(prompts[:200])
    assert 20 <= len(held) <= 60
    assert hold_out([prompts], 1, 0.1) != held


def test_small_groups_get_a_prompt_on_each_side():
    for seed in range(30):
        for fraction in (0.01, 0.99):
            assert len(hold_out([["a", "b"]], seed, fraction)) == 1
    assert hold_out([["a"]], 0, 0.0) == frozenset()


def test_divide_keeps_order_and_never_shares_a_prompt():
    rows = [("a", 1), ("b", 2), ("a", 3), ("c", 4)]
    split = divide(rows, {"a"}, lambda row: row[0])
    assert split.train == (("b", 2), ("c", 4))
    assert split.heldout == (("a", 1), ("a", 3))


def test_cut_by_hand():
    assert cut("a fine film indeed .", 2) == ("a fine", " film indeed .")
    assert cut("a fine\n film", 4) == ("a fine", "\n film")
    assert cut("two words", 1) == ("two", " words")
    assert cut("word", 4) is None
    assert cut("  ", 4) is None


@given(st.text(), st.integers(1, 6))
def test_cut_loses_nothing(text, words):
    parts = cut(text, words)
    assert parts is None or (parts[0] + parts[1] == text and parts[0].strip() and parts[1].strip())
