"""Who labels the pairs of a reward model, and what of that its fingerprint covers."""

import json
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from rlhf.annotators.base import Answer, Comparison
from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.data.collate import encode_preferences, pad
from rlhf.data.conversations import Prompt, asked
from rlhf.data.labelling import preferred
from rlhf.data.lengths import Limit
from rlhf.data.records import Loaded
from rlhf.models.load import scalar_model_from
from rlhf.models.scalar import scores
from rlhf.stages.context import StageContext
from rlhf.stages.learned.rows import pairs_of
from rlhf.stages.preferences.annotator import annotator_of, annotator_part, score_answers
from rlhf.stages.preferences.pairs import preferences_of
from rlhf.stages.rows import at_once, limit_of
from rlhf.stages.table import fingerprints
from tests.conftest import SMALL, tiny
from tests.turns import preference


@pytest.fixture
def context(tmp_path):
    def of(*lines, without="nothing"):
        small = [line for line in SMALL if not line.startswith(without)]
        cfg = validate(compose([*small, *lines]))
        loaded = Loaded.of(build(cfg.data))
        return StageContext(cfg=cfg, **loaded._asdict(), run_directory=tmp_path)

    return of


def none_is_loaded():
    raise AssertionError("the SFT policy was loaded")


own_pairs = partial(preferences_of, policy=none_is_loaded)


@pytest.mark.parametrize("lines", [(), ("annotator.flip=0.25",), ("annotator.temperature=9.0",)])
def test_data_that_has_labels_keeps_them(context, lines):
    """Nobody is asked, and the reward model is the one that it was before."""
    plain, chosen = context(), context(*lines)
    assert annotator_part(chosen) == {}
    assert own_pairs(chosen) is chosen.data.preferences
    assert fingerprints(plain) | {"ppo": 0} == fingerprints(chosen) | {"ppo": 0}


def test_labels_anew(context, caplog):
    """reviews: by gold at temperature 0, the better of the two is chosen in every pair."""
    lines = ("labels=annotator", "annotator.temperature=0")
    it = context(*lines)
    with caplog.at_level(logging.INFO):
        pairs = own_pairs(it)
    gold = it.source.gold
    for side in ("train", "heldout"):
        rows, before = getattr(pairs, side), getattr(it.data.preferences, side)
        assert [{r.chosen, r.rejected} for r in rows] == [{r.chosen, r.rejected} for r in before]
        for row in rows:
            texts, words = [row.prompt[0].content] * 2, [row.chosen, row.rejected]
            better, worse = gold(texts, words)
            assert better >= worse
    both = zip(pairs.train, it.data.preferences.train, strict=True)
    kept = sum(new.chosen == old.chosen for new, old in both)
    (line,) = [text for text in caplog.messages if "has labelled" in text]
    assert line.endswith(f"of {len(pairs.train)} to train on {kept} keep their label")
    assert 0 < kept < len(pairs.train)


def test_labels_are_of_the_data_seed(context):
    """The same for every seed of the reward model and of PPO."""
    lines = ("labels=annotator", "annotator.flip=0.25")
    first = own_pairs(context(*lines))
    assert own_pairs(context(*lines, "reward_model.seed=7", "seed=3")) == first
    assert own_pairs(context(*lines, "annotator.flip=0.4")) != first


def test_what_the_fingerprint_covers(context):
    def prints(*lines):
        return fingerprints(context("stage=reward_model", *lines))

    plain, anew = prints(), prints("labels=annotator")
    assert plain["sft"] == anew["sft"] and plain["reward_model"] != anew["reward_model"]
    flipped = prints("labels=annotator", "annotator.flip=0.25")
    assert len({each["reward_model"] for each in (plain, anew, flipped)}) == 3
    assert prints("labels=annotator", "annotator=alpaca_farm") == flipped


def test_rows_that_were_encoded_with_other_labels_are_not_trained_on(context):
    it = context("labels=annotator", "annotator.flip=1.0")
    it.rows["reward_model"] = "encoded before"
    pairs = own_pairs(it)
    assert "reward_model" not in it.rows and own_pairs(it) is pairs  # asked once a run


class Longest:
    """An annotator of one's own, without a base of ours."""

    name = "longest"

    def __init__(self, least=0):
        self.least = least

    def prefer(self, comparisons, generator):
        more = [len(each.first) - len(each.second) > self.least for each in comparisons]
        return torch.tensor(more, dtype=torch.float64)


def test_an_annotator_of_ones_own(monkeypatch, tmp_path):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests")
    plain = validate(compose([*SMALL, "labels=annotator"])).plain()
    own = {"_target_": "tests.stages.preferences.test_labels.Longest", "_name_": "longest"}
    cfg = validate({**plain, "annotator": {**own, "least": 0}})
    loaded = Loaded.of(build(cfg.data))
    it = StageContext(cfg=cfg, **loaded._asdict(), run_directory=tmp_path)
    assert all(len(pair.chosen) >= len(pair.rejected) for pair in own_pairs(it).train)
    assert annotator_part(it)["annotator"] == {"piece": "longest", "least": 0}


def test_dpo_learns_from_the_same_labels(context):
    """The pairs, encoded, that a reward model would learn from; they are in its fingerprint."""
    lines = ("algorithm=dpo", "scorer=gold", "labels=annotator", "annotator.temperature=0")
    it = context(*lines)
    rows, pairs = pairs_of(it, Path("no policy")), own_pairs(context(*lines))
    limit = limit_of(it, "reward_model")
    assert [*rows.train] == encode_preferences(it.rendering, pairs.train, limit)
    assert [*rows.heldout] == encode_preferences(it.rendering, pairs.heldout, limit)
    flipped, plain = context(*lines, "annotator.flip=0.1"), context(*lines[:2])
    prints = {fingerprints(each)["ppo"] for each in (it, flipped, plain)}
    assert len(prints) == 3
    unasked = context(*lines[:2], "annotator.flip=0.1")
    assert fingerprints(unasked)["ppo"] in prints


# --- pairs that are sampled

FILES = (
    *("data=jsonl", "data.gold=vader", "data.vocabulary=300", "data.pairs=40"),
    *("data.max_response_tokens=8", "data.heldout_fraction=0.2", "stage=reward_model"),
)


@pytest.fixture
def texts(tmp_path):
    words = ["good", "bad", "great", "awful", "fine", "poor"]
    rows = [{"text": f"{a} and {b} and {c}, it was"} for a in words for b in words for c in words]
    (tmp_path / "demos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:60]))
    return (*FILES, f"data.demonstrations={tmp_path}/demos.jsonl")


def test_sampled_pairs_of_plain_gold_have_the_fingerprint_that_they_had(context, texts):
    """Nothing of the annotator is in it; any other annotator, and its settings, are."""
    plain = context(*texts, without="data.")
    assert annotator_part(plain) == {}
    flipped = context(*texts, "annotator.flip=0.25", without="data.")
    assert annotator_part(flipped) == {"annotator": {"piece": "gold", "flip": 0.25}}
    sharp = context(*texts, "annotator.temperature=0", without="data.")
    prints = [fingerprints(each) for each in (plain, flipped, sharp)]
    assert len({each["reward_model"] for each in prints}) == 3
    assert len({each["sft"] for each in prints}) == 1


def test_sampled_pairs_are_labelled_by_the_annotator(context, texts):
    """Of the same responses: at flip 1 all that temperature 0 says is the opposite."""

    def pairs(*lines):
        own = ("annotator.temperature=0", "annotator.length_weight=1.0")
        it = context(*texts, *own, *lines, without="data.")
        return preferences_of(it, lambda: it.initial_policy())

    right, wrong = pairs(), pairs("annotator.flip=1.0")
    assert len(right.train) > 5
    turned = [
        replace(
            pair,
            chosen=pair.rejected,
            rejected=pair.chosen,
            chosen_ended=pair.rejected_ended,
            rejected_ended=pair.chosen_ended,
        )
        for pair in wrong.train
    ]
    assert turned == [*right.train]


def test_a_judge_needs_no_gold(run_in, texts, tmp_path, tokenizer):
    """A whole run: sampled pairs, labelled by a causal LM; which one it is stands in the
    fingerprint."""
    tiny(tokenizer).save_pretrained(tmp_path / "judge")
    tokenizer.save_pretrained(tmp_path / "judge")
    judge = ["annotator=judge", f"annotator.path={tmp_path / 'judge'}", "annotator.flip=0.1"]
    judge += ["annotator.template='h {first} g {second} h'", "annotator.answers=[' a',' b']"]
    lines = [*texts, "data.gold=null", *judge]
    summary = run_in(tmp_path / "run", *lines, without="data.")
    assert summary["status"] == "finished" and summary["val/accuracy"] >= 0


# --- the run's reward model as an annotator


def test_answers_are_read_as_pairs_are(context):
    """The scores are those of the encoded pairs, an answer that was cut off without its EOS."""
    it = context("annotator=reward_model", "annotator.temperature=0.5")
    model = scalar_model_from(tiny(it.tokenizer), seed=0).eval()
    row = preference("a very good film", " it was great .", " it was not bad", rejected_ended=False)
    prompt = Prompt(turns=asked("a very good film"))
    answers = [Answer(prompt, row.chosen), Answer(prompt, row.rejected, ended=False)]
    (encoded,) = encode_preferences(it.rendering, [row], Limit(most=1000))
    ids = [encoded.chosen.ids, encoded.rejected.ids]
    assert ids[0][-1] == it.tokenizer.eos_token_id != ids[1][-1]
    with torch.no_grad():
        expected = scores(model, *pad(ids, 0), at_once(it.cfg.reward_model))
    given = score_answers(it, model, answers)
    assert given.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    pair = Comparison(prompt=prompt, first=row.chosen, second=row.rejected, second_ended=False)
    p = annotator_of(it, model).prefer([pair], None).item()
    a, b = expected.tolist()
    assert p == pytest.approx(preferred(a - b, 0.5), abs=1e-4)
