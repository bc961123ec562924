"""What an annotator needs is asked before anything is loaded; configs of before keep their
names."""

import pytest

from rlhf.config.checks.annotator import asked_for
from rlhf.config.compose import compose, validate
from rlhf.config.naming import as_now, named_flat, run_hash
from rlhf.config.validate import cautions
from rlhf.rundir.files import flatten

DATA = ["data=jsonl", "data.demonstrations=demos.jsonl"]
PAIRS = [*DATA, "data.preferences=pairs.jsonl"]
JUDGE = ["annotator=judge", "annotator.path=some/model"]
POOL = ["annotator=pool", "+annotator@annotator.members.a=gold"]


def test_a_config_of_before_is_valid_and_keeps_its_hash():
    plain = validate(compose([])).plain()
    before = {k: v for k, v in plain.items() if k not in ("annotator", "labels")}
    again = validate(before).plain()
    assert again == plain
    assert run_hash(again) == run_hash(before)
    assert as_now(named_flat(flatten(before))) == as_now(named_flat(flatten(plain)))


@pytest.mark.parametrize(
    "line", ["labels=annotator", "annotator.flip=0.25", "annotator.temperature=1.0"]
)
def test_the_hash_follows_what_is_chosen(line):
    assert run_hash(validate(compose([line])).plain()) != run_hash(validate(compose([])).plain())


def test_a_stage_before_any_labels_does_not_ask_who_gives_them():
    sft = [run_hash(validate(compose(["stage=sft", *lines])).plain()) for lines in ([], POOL)]
    assert sft[0] == sft[1]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (DATA, "data.preferences=null: pairs would be sampled and labelled by gold"),
        ([*DATA, *JUDGE], None),
        ([*DATA, *POOL], "data.preferences=null: pairs would be sampled and labelled by gold"),
        ([*PAIRS, *POOL], None),
        ([*PAIRS, *JUDGE, "labels=annotator"], None),
        (
            [*PAIRS, "labels=annotator"],
            "annotator=gold: labels=annotator would label pairs by",
        ),
        ([*PAIRS, *POOL, "labels=annotator"], "annotator=pool: labels=annotator would label pairs"),
        ([*PAIRS, "labels=annotator", "data.gold=vader"], None),
        ([*PAIRS, "labels=annotator", "reward_model.path=r"], None),
        (["annotator=reward_model"], None),
        (
            ["annotator=reward_model", "labels=annotator"],
            "annotator=reward_model: with labels=annotator pairs are labelled before there is a",
        ),
        (
            ["annotator=reward_model", "data=rt_polarity"],
            "annotator=reward_model: sampled pairs are labelled before there is a reward model",
        ),
        (
            [*POOL, "+annotator@annotator.members.b=reward_model", "labels=annotator"],
            "annotator=pool: with labels=annotator pairs are labelled before there is a reward",
        ),
        (POOL[:1], "annotator.members: has none; add one by"),
        ([*POOL, "+annotator.weights.b=1"], "annotator.weights.b: is the weight of no member"),
        ([*POOL, "+annotator.weights.a=0"], "annotator.weights: are all 0"),
        (JUDGE[:1], "annotator.path: needs a value"),
        ([*JUDGE, "annotator.template=hello"], "annotator.template=hello: has no {first}"),
        ([*JUDGE, "annotator.answers=[A,A]"], 'annotator.answers=["A", "A"]: expected two'),
        (["annotator.flip=1.5"], "annotator.flip=1.5"),
        (["annotator=gould"], "annotator=gould: no such option"),
        (["labels=judge"], "labels=judge: expected"),
    ],
)
def test_refused_before_anything_is_loaded(planned, lines, fault):
    faults = planned(*lines).faults
    assert len(faults) == (fault is not None)
    assert fault is None or faults[0].startswith(fault)


def test_ranks_share_the_labels_of_an_endpoint(planned):
    shared = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "labels=annotator"]
    shared += ["annotator=openai", "annotator.model=m"]
    assert planned(*shared).faults == []
    (fault,) = planned(*shared, "annotator.cache=null").faults
    assert fault.startswith("annotator.cache=null: 2 ranks learn from the labels, and each would")


def test_an_annotator_that_nobody_asks():
    (sentence,) = cautions(validate(compose(["annotator.flip=0.25"])))
    assert sentence.startswith("annotator=gold is asked nothing by this run: labels=annotator")
    for lines in (
        [],
        ["labels=annotator", "annotator.flip=0.25"],
        ["data=rt_polarity", "annotator.flip=0.25"],
    ):
        assert cautions(validate(compose(lines))) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ()),
        (["labels=annotator"], ("labels",)),
        (["data=rt_polarity"], ("labels",)),  # its pairs are sampled
        (["data=rt_polarity", "reward_model.path=r"], ()),
        (["labels=annotator", "stage=sft"], ()),
        (["labels=annotator", "scorer=gold", "ppo.value_init=policy"], ()),
    ],
)
def test_who_asks(lines, expected):
    assert asked_for(validate(compose(lines))) == expected
