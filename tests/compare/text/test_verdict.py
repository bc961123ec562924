"""The verdict: what to use, in at most 35 words, whatever the sweep looks like."""

import json

import pytest

from rlhf.compare.read.runs import load
from rlhf.compare.statistics.study import study
from rlhf.compare.text.verdict import MOST_WORDS, Facts, in_words, verdict_sentences, words

LONG = " ".join(f"group.key_{i}=some_value_{i}" for i in range(9))


def said(directory):
    return verdict_sentences(study(directory, load(directory)))


def test_what_to_use_and_below_which_kl_another():
    facts = Facts(
        name="gold reward",
        leader="kl.coef=0.1",
        reward="0.82",
        kl="2.3",
        claim="best",
        beside_sft="more",
        nearer=("2", "kl.coef=0.3"),
        others=["kl.coef=0.3", "kl.coef=1"],
    )
    assert in_words(facts) == (
        "Use kl.coef=0.1: gold reward 0.82 at 2.3 nats, the best of 3 settings."
        " Below 2 nats use kl.coef=0.3."
    )


@pytest.mark.parametrize("claim", ["best", "tied", "order", "alone"])
@pytest.mark.parametrize("beside_sft", ["more", "less", "unclear", "unknown"])
@pytest.mark.parametrize("label", ["kl.coef=0.1", LONG])
@pytest.mark.parametrize(
    "tied", [(), ("0.1",), ("0.1", "0.2"), tuple("abcdefghijkl"), (LONG, LONG)]
)
def test_no_verdict_is_longer_than_35_words(claim, beside_sft, label, tied):
    for no_gold in (False, True):
        facts = Facts(
            name="gold reward",
            leader=label,
            reward="-1.2345",
            kl="12.3",
            claim=claim,
            tied=tied or (("x",) if claim == "tied" else ()),
            beside_sft=beside_sft,
            sft="1.00",
            nearer=("2", label),
            gamed=label,
            no_gold=no_gold,
            several_starts=True,
            others=["a"] * 40,
        )
        text = in_words(facts)
        assert 0 < words(text) <= MOST_WORDS
        assert text.endswith(".") and "  " not in text


def test_one_seed_each_is_an_order(gamed):
    assert said(gamed) == (
        "kl.coef=0.05 is first, with gold reward 2.40 at 6.00 nats. One seed tells no winner: run"
        " more seeds before choosing. kl.coef=0 may game the reward model: the highest proxy"
        " reward, less gold."
    )


def test_seeds_that_are_clear_have_a_best(rundirs, tmp_path):
    for seed in range(3):
        rundirs.make_run(tmp_path / f"a{seed}", coef=0.1, seed=seed, gold=2.0 + seed / 10)
        rundirs.make_run(tmp_path / f"b{seed}", coef=0.2, seed=seed, gold=1.0 + seed / 10)
    assert said(tmp_path).startswith("Use kl.coef=0.1: gold reward 2.10 at ")
    assert "the best of 2 settings." in said(tmp_path)


def test_seeds_that_are_not_clear_are_tied(rundirs, tmp_path):
    for seed, (a, b) in enumerate(((2.0, 1.9), (2.1, 1.8), (2.3, 2.2))):
        rundirs.make_run(tmp_path / f"a{seed}", coef=0.1, seed=seed, gold=a)
        rundirs.make_run(tmp_path / f"b{seed}", coef=0.2, seed=seed, gold=b)
    assert said(tmp_path).startswith("Use kl.coef=0.1: gold reward 2.13 at ")
    assert "0.2 may be as good." in said(tmp_path)


def test_seeds_that_all_agree_are_not_one_seed(rundirs, tmp_path):
    for seed in range(3):
        rundirs.make_run(tmp_path / f"a{seed}", coef=0.1, seed=seed, gold=2.0)
        rundirs.make_run(tmp_path / f"b{seed}", coef=0.2, seed=seed, gold=2.0)
    assert said(tmp_path) == "Use kl.coef=0.1: gold reward 2.00 at 4.00 nats. 0.2 may be as good."


def test_settings_of_two_keys_are_named_with_them(rundirs, tmp_path):
    for seed, (a, b) in enumerate(((2.0, 1.9), (2.1, 1.8), (2.3, 2.2))):
        for name, coef, rate, gold in (("a", 0.1, 1e-4, a), ("b", 0.2, 1e-5, b)):
            rundirs.make_run(
                tmp_path / f"{name}{seed}",
                coef=coef,
                seed=seed,
                gold=gold,
                config={"model": {"width": rate}},
            )
        rundirs.make_run(
            tmp_path / f"c{seed}", coef=0.2, seed=seed, gold=0.5, config={"model": {"width": 1e-4}}
        )
    assert "kl.coef=0.2 model.width=1e-05 may be as good." in said(tmp_path)


def test_where_nothing_is_better_than_sft_keep_it(rundirs, tmp_path):
    for seed in range(2):
        rundirs.make_run(tmp_path / f"a{seed}", coef=0.1, seed=seed, gold=0.2)
        rundirs.make_run(tmp_path / f"b{seed}", coef=0.2, seed=seed, gold=0.1)
    assert said(tmp_path).startswith(
        "Keep SFT, gold reward 1.00: the best setting, kl.coef=0.1, has 0.20"
    )


@pytest.mark.parametrize(("settings", "clear"), [(2, True), (5, False)])
def test_the_highest_of_many_has_to_beat_sft_by_more(rundirs, tmp_path, settings, clear):
    """0.33 over SFT, whose standard error is 0.1 as the setting's: 2.33 standard errors. For two
    settings together 95 % are 2.24, for five 2.58."""
    for i in range(settings):
        rundirs.make_run(tmp_path / f"{i}", coef=0.1 * (i + 1), gold=1.33 if i == 0 else 1.0)
    assert said(tmp_path).startswith("kl.coef=0.1 is first") == clear
    assert said(tmp_path).startswith("No setting clearly beats SFT") != clear


def test_one_setting_and_no_gold(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", gold=None, proxy=3.0)
    assert said(tmp_path) == (
        "kl.coef=0.05 reaches proxy reward 3.00 at 4.00 nats. There is no other setting to compare"
        " it with. Gold reward was not measured, so over-optimisation cannot be seen."
    )


def test_different_sft_policies_are_said(rundirs, tmp_path):
    for i, sft in enumerate("ab"):
        run = rundirs.make_run(tmp_path / sft, coef=0.1 + i, gold=2.2 + i)
        summary = json.loads((run / "summary.json").read_text())
        rundirs.write(run / "summary.json", summary | {"fingerprints": {"sft": sft}})
    assert "KLs are to different SFT policies." in said(tmp_path)


def test_nothing_to_rank(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", proxy="nan", gold="inf", kl="nan")
    assert said(tmp_path) == "No finished run reports a finite reward: there is nothing to rank."
    assert verdict_sentences(study(tmp_path, [])) == "No run of this sweep has finished yet."


def test_settings_of_different_rewards_are_not_ranked(rundirs, tmp_path):
    """A sweep over scorer=vader,length."""
    for i, name in enumerate(("vader", "length")):
        scorer = {"_target_": "rlhf.rewards.rules.X", "metric": name}
        run = rundirs.make_run(tmp_path / name, coef=0.1 + i, proxy=None, gold=None)
        summary = json.loads((run / "summary.json").read_text())
        rundirs.write(run / "summary.json", summary | {f"reward/{name}": 1.0, "scorer": scorer})
    assert said(tmp_path).startswith("The settings maximised different rewards")
