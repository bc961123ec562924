import json
import math

import pytest

from rlhf.compare.read.runs import load
from rlhf.compare.statistics.estimates import Interval, say
from rlhf.compare.statistics.findings import find
from rlhf.compare.statistics.settings import group
from rlhf.compare.statistics.study import study
from rlhf.compare.text.answer import answer, over_optimisation
from rlhf.compare.text.settings import markdown


def _answer(directory):
    return answer(study(directory, load(directory)))


def test_one_seed_says_so(gamed):
    said = _answer(gamed)
    assert said.comparison.startswith(
        "At the end of training kl.coef=0.05 has gold reward 2.40 (2.20 to 2.60) at a KL of 6.00"
        " (5.80 to 6.20) nats per response. At that KL kl.coef=0 has 2.30"
    )
    assert said.comparison.endswith("less: not statistically clear.")
    assert "of the evaluation alone where there is one seed" in said.confidence
    assert said.cost == (
        "kl.coef=0.05 has 1.40 (1.12 to 1.68) more gold reward than SFT, which has 1.00 ± 0.20."
        " A run of kl.coef=0.05 took 12 s. The 3 runs took 38 s together."
    )


def test_seeds_bring_students_t(rundirs, tmp_path):
    for seed in range(3):
        rundirs.make_run(tmp_path / f"a{seed}", coef=0.1, seed=seed, gold=2.0 + seed / 10)
        rundirs.make_run(tmp_path / f"b{seed}", coef=0.2, seed=seed, gold=1.0 + seed / 10)
    said = _answer(tmp_path)
    assert "over 3 seeds (Student's t; of differences Welch's t)" in said.confidence
    assert "1.00 (0.77 to 1.23) less: statistically clear." in said.comparison
    # s = 0.1: 4.303 x 0.1 / sqrt(3)
    assert said.cost.startswith(
        "kl.coef=0.1 has 1.10 (0.85 to 1.35) more gold reward than SFT, which has 1.00 ± 0.20."
    )


def test_ranges_that_do_not_meet_are_not_enough(rundirs, tmp_path):
    """Ranges that do not meet are all that a bootstrap of three asks for: 2, 2.2, 3.4 against 1,
    1.7, 1.8; Welch's p is 0.10."""
    for seed, (a, b) in enumerate(((2.0, 1.0), (2.2, 1.7), (3.4, 1.8))):
        rundirs.make_run(tmp_path / f"a{seed}", coef=0.1, seed=seed, gold=a, se=0.01)
        rundirs.make_run(tmp_path / f"b{seed}", coef=0.2, seed=seed, gold=b, se=0.01)
    assert _answer(tmp_path).comparison.endswith("less: not statistically clear.")


def test_less_than_sft_is_said_as_less(rundirs, tmp_path):
    for seed in range(2):
        rundirs.make_run(tmp_path / f"a{seed}", coef=0.1, seed=seed, gold=0.2)
        rundirs.make_run(tmp_path / f"b{seed}", coef=0.2, seed=seed, gold=0.1)
    assert _answer(tmp_path).cost.startswith(
        "kl.coef=0.1 has 0.80 (0.60 to 1.00) less gold reward than SFT, which has 1.00 ± 0.20."
    )


def test_the_highest_of_many_is_partly_luck(rundirs, tmp_path):
    for i in range(4):
        assert "overstates" not in (_answer(tmp_path).confidence if i else "")
        rundirs.make_run(tmp_path / f"c{i}", coef=0.1 * (i + 1), gold=1.5 + i / 10)
    confidence = _answer(tmp_path).confidence
    assert confidence.endswith("The highest mean of 4 overstates what new runs will reach.")


def test_stopping_another_early_would_have_been_better(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "far", coef=0.0, gold=1.0, kl=20.0, iterations=4, peak=9.0)
    rundirs.make_run(tmp_path / "near", coef=0.1, gold=2.0, kl=6.0, iterations=4)
    said = _answer(tmp_path)
    assert "At that KL kl.coef=0 has 9.00" in said.comparison
    assert (
        "more: more than evaluation noise, but each has one seed, so run more. Stopping kl.coef=0"
        " early may do as well as kl.coef=0.1." in said.comparison
    )
    # between 5 and 10 nats, 1 and 2 of 4 iterations
    assert "kl.coef=0 had 31% of its training done at that KL" in said.confidence


def test_alone_at_its_kl(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "far", coef=0.0, gold=3.0, kl=20.0, iterations=4)
    rundirs.make_run(tmp_path / "near", coef=0.1, gold=2.5, kl=5.0, iterations=4)
    said = _answer(tmp_path).comparison
    assert said.endswith(
        "No other setting has a reading at that KL. At 5 nats, where kl.coef=0.1 ended, kl.coef=0.1"
        " has 2.50 (2.30 to 2.70): 1.00 (0.72 to 1.28) more than kl.coef=0 had there during its"
        " training (1.50 (1.30 to 1.70)), more than evaluation noise, but each has one seed, so run"
        " more."
    )
    (tmp_path / "near" / "summary.json").unlink()
    assert "so none can be compared with it at equal KL." in _answer(tmp_path).comparison


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [
        (1.2345, 1.1, 1.37, "1.23 (1.10 to 1.37)"),
        (0.001, -0.12, 0.12, "0.00 (-0.12 to 0.12)"),
        (1.98945, 1.98906, 1.98985, "1.989 (1.989 to 1.990)"),
        (150.7, 148.5, 152.9, "150.7 (148.5 to 152.9)"),
        (2.0, 2.0, 2.0, "2"),
        (2.0, math.nan, math.nan, "2"),
        (math.nan, math.nan, math.nan, "-"),
    ],
)
def test_numbers_as_they_are_written(mean, low, high, text):
    assert say(Interval(mean, low, high, 1, "")) == text


def test_one_seed_against_several_and_noise_that_is_not_known(rundirs, tmp_path):
    for seed, gold in enumerate((2.0, 2.5, 1.4)):
        rundirs.make_run(tmp_path / f"a{seed}", coef=0.1, seed=seed, gold=gold, se=0.05)
    rundirs.make_run(tmp_path / "b", coef=0.2, gold=1.7, se=0.05)
    said = _answer(tmp_path)
    assert said.comparison.endswith("not statistically clear.")
    assert "over 3 seeds (Student's t" in said.confidence
    assert "of one seed less several with the variance of the several" in said.confidence
    for name in ("summary.json", "metrics.jsonl"):  # the noise of the single run is lost
        path = tmp_path / "b" / name
        path.write_text(path.read_text().replace("gold_se", "gold_lost"))
    said = _answer(tmp_path)
    assert said.comparison.endswith("not statistically clear.")
    assert "Numbers without brackets have no measured error." in said.confidence


def _run(rundirs, directory, path, *, coef, seed=0, se=0.02):
    """A run with these (KL, gold) at its evaluations."""
    run = rundirs.make_run(
        directory,
        coef=coef,
        seed=seed,
        kl=path[-1][0],
        gold=path[-1][1],
        iterations=len(path) - 1,
        se=se,
    )
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (run / "metrics.jsonl").unlink()
    seen = ({"eval/kl/sequence_nats": kl, "eval/reward/gold": gold} for kl, gold in path)
    rundirs.append(run / "metrics.jsonl", *(row | new for row, new in zip(rows, seen, strict=True)))


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_setting_that_is_far_better_at_less_kl_is_named(rundirs, tmp_path, seeds):
    """0.3 stops at 2 nats with 1.6, where the best had 0.8; 0.03 goes as far as the best and has
    less. One seed each is an order: no verdict, and the number says so."""
    for coef, path in {
        0.02: [(0, 0), (2, 0.8), (6, 1.5), (10, 2.0)],
        0.03: [(0, 0), (2, 0.5), (6, 1.1), (10, 1.5)],
        0.3: [(0, 0), (1, 1.0), (1.5, 1.4), (2, 1.6)],
    }.items():
        for seed in range(seeds):
            those = [(kl, gold + seed / 100) for kl, gold in path]
            _run(rundirs, tmp_path / f"{coef}-{seed}", those, coef=coef, seed=seed)
    said = _answer(tmp_path)
    assert "At that KL kl.coef=0.03 has 1.5" in said.comparison
    assert "At 2 nats kl.coef=0.3 has gold reward 1.6" in said.comparison
    if seeds == 1:
        assert "Below" not in said.headline
        assert said.comparison.endswith("(more than the noise of the readings, but of one seed).")
    else:
        assert said.headline.endswith("the best of 3 settings. Below 2 nats use kl.coef=0.3.")
        assert said.comparison.endswith("and kl.coef=0.02 0.810 (0.785 to 0.835).")


def test_one_of_three_seeds_is_not_clear(rundirs, tmp_path):
    for seed in range(3):
        _run(
            rundirs,
            tmp_path / f"a{seed}",
            [(0, 0), (2.5, 0.5), (5 + seed / 10, 1.0 + seed / 50)],
            coef=0.1,
            seed=seed,
        )
        _run(
            rundirs,
            tmp_path / f"b{seed}",
            [(0, 0), (2.5, 0.6), (3.0 if seed else 4.9, 0.9)],
            coef=0.2,
            seed=seed,
        )
    said = _answer(tmp_path)
    assert "in 1 of 3 seeds during its training" in said.comparison
    assert said.comparison.endswith(
        "clear only if the one seed varies as the others do, so run more."
    )
    assert "A run that came within a tenth of that KL is read at its furthest." in said.confidence


def test_different_sft_policies_are_said(rundirs, tmp_path):
    for i, sft in enumerate("ab"):
        run = rundirs.make_run(tmp_path / sft, coef=0.1 + i, gold=0.2 + i)
        summary = json.loads((run / "summary.json").read_text())
        rundirs.write(run / "summary.json", summary | {"fingerprints": {"sft": sft}})
    assert "The settings began from different SFT policies" in _answer(tmp_path).comparison


def test_nothing_to_answer(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", proxy="nan", gold="inf", kl="nan")
    assert _answer(tmp_path).paragraphs == [
        "No finished run reports a finite reward: there is nothing to rank."
    ]
    assert answer(study(tmp_path, [])).headline == "No run of this sweep has finished yet."


def test_one_run_can_show_its_own_fall(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy=3.0, gold=1.2, peak=2.5, iterations=4)
    assert (
        "Over-optimisation shows during training: in kl.coef=0, seed 0, gold reward was 2.50"
        in over_optimisation(find(group(load(tmp_path))))
    )


def test_noise_that_is_not_known_is_not_called_within_it(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy=3.0, gold=1.0)
    run = rundirs.make_run(tmp_path / "b", coef=0.1, proxy=2.0, gold=2.0)
    (run / "summary.json").write_text(
        (run / "summary.json").read_text().replace("reward/gold_se", "lost")
    )
    text = over_optimisation(find(group(load(tmp_path))))
    assert text.startswith("Perhaps over-optimisation") and text.endswith("of unknown error.")


def test_a_run_that_games_is_told_of_beside_a_best_that_does_not(rundirs, tmp_path):
    """kl.coef=0 has neither the highest proxy nor the highest gold, and fell from 2.5 to 1.2."""
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy=3.0, gold=1.2, peak=2.5, iterations=4)
    rundirs.make_run(tmp_path / "b", coef=0.1, proxy=4.0, gold=3.0, iterations=4)
    text = over_optimisation(find(group(load(tmp_path))))
    assert text.startswith(
        "Over-optimisation shows during training: in kl.coef=0, seed 0, gold reward was 2.50 ± 0.20"
    )


def test_one_run_has_one_time(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", gold=2.0)
    said = _answer(tmp_path)
    assert said.cost.endswith("A run of kl.coef=0.05 took 12 s.")
    assert "other setting" not in said.comparison
    assert "(highest)" not in markdown(study(tmp_path, load(tmp_path)))


def test_one_setting_has_nothing_beside_it(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "a", gold=2.0)
    assert over_optimisation(find(group(load(tmp_path)))) == (
        "No sign of over-optimisation: gold reward did not clearly fall during training."
    )
    (run / "metrics.jsonl").unlink()
    assert "cannot show over-optimisation" in over_optimisation(find(group(load(tmp_path))))


def _endless(rundirs, directory, *, coef, gold, ended, score):
    """A run whose last evaluation has this share of EOS and this score."""
    run = rundirs.make_run(directory, coef=coef, gold=gold)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows[0] |= {"eval/response/ended": 0.9, "eval/ppo/score": 0.5}
    rows[-1] |= {"eval/response/ended": ended, "eval/ppo/score": score}
    (run / "metrics.jsonl").unlink()
    rundirs.append(run / "metrics.jsonl", *rows)
    summary = json.loads((run / "summary.json").read_text())
    own = {"response/ended": ended, "ppo/score": score, "ppo/score_se": 0.1}
    rundirs.write(run / "summary.json", summary | own)


def test_a_policy_whose_responses_never_end_is_not_praised(rundirs, tmp_path):
    _endless(rundirs, tmp_path / "a", coef=0.05, gold=4.0, ended=0.0, score=-1.0)
    _endless(rundirs, tmp_path / "b", coef=0.5, gold=2.0, ended=0.8, score=1.5)
    said = _answer(tmp_path)
    assert said.headline == (
        "kl.coef=0.5 reaches gold reward 2.00 at 4.00 nats: the only setting whose responses end."
        " kl.coef=0.05 has more gold reward, but responses that never end."
    )
    assert said.comparison.endswith(
        "kl.coef=0.05 has more gold reward, 4.00 ± 0.20, but 100% of its responses have no EOS"
        " (SFT: 10%); the score that is maximised is -1.00 ± 0.20 (SFT: 0.5)."
    )
    text = markdown(study(tmp_path, load(tmp_path)))
    assert "| SFT |  | 0 | 0.5 | 0.00 ± 0.20 | 1.00 ± 0.20 |  |  | 90 % |" in text
    assert "| kl.coef=0.5 (highest) | 1 | 4.00 ± 0.20 | 1.50 ± 0.20 |" in text


def test_where_nothing_ends_nothing_is_best(rundirs, tmp_path):
    _endless(rundirs, tmp_path / "a", coef=0.05, gold=4.0, ended=0.0, score=-1.0)
    _endless(rundirs, tmp_path / "b", coef=0.5, gold=2.0, ended=0.1, score=-0.8)
    said = _answer(tmp_path)
    assert said.headline == (
        "No setting's responses end, so none is best. kl.coef=0.05 has the highest gold reward,"
        " 4.00 at 4.00 nats."
    )
    assert said.comparison == (
        "90% to 100% of the responses to held-out prompts have no EOS (SFT: 10%). kl.coef=0.05 has"
        " the highest gold reward, 4.00 ± 0.20, which does not count that; the score that is"
        " maximised is -1.00 ± 0.20 (SFT: 0.5)."
    )
    assert "more gold reward" not in said.cost
    assert said.confidence == "± is half of the 95 % confidence interval."  # there are no brackets
    text = markdown(study(tmp_path, load(tmp_path)))
    assert "(best)" not in text and "(highest)" not in text


@pytest.mark.parametrize(
    ("seeds", "those"),
    [
        (1, "Those of kl.coef=0.1 at the end of training and of the gain over SFT hold"),
        (2, "Those of kl.coef=0.1 at the end of training hold"),
    ],
)
def test_intervals_for_prompts_like_these_are_named(rundirs, tmp_path, seeds, those):
    """A gain over several seeds is at these prompts, where the prompts' part cancels; one run's is
    judged prompt by prompt."""
    for coef, end in ((0.1, (2.0, 3.0, 4.0)), (0.2, (1.0, 1.5, 2.0))):
        for seed in range(seeds):
            gold = sum(end) / 3 + seed / 10
            run = rundirs.make_run(tmp_path / f"{coef}-{seed}", coef=coef, seed=seed, gold=gold)
            lines = [
                {"iteration": i, "prompts": "abc", "responses": [1, 1, 1], "reward/gold": values}
                for i, values in ((0, [1, 1, 1]), (3, [x + seed / 10 for x in end]))
            ]
            rundirs.append(run / "by_prompt.jsonl", *lines)
    assert f"{those} for prompts like these, all others for these prompts." in (
        _answer(tmp_path).confidence
    )
