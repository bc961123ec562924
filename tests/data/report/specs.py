"""A report with numbers to be drawn and refused by."""

from dataclasses import replace

from rlhf.data.report.values import Accuracy, Limited, Pairs, Part, Report, Spread

TOKENS = Spread(least=20, median=212, p95=358, most=578)
PART = Part(
    name="demonstrations",
    rows=90,
    heldout=10,
    turns=Spread(least=2, median=2, p95=4, most=4),
    tokens=TOKENS,
    prompt_tokens=Spread(least=5, median=94, p95=139, most=261),
    measured=100,
    duplicates=1,
    duplicates_but_for_spaces=3,
    not_alternating=0,
)
LIMITED = Limited(
    stage="sft",
    part="demonstrations",
    bound="sft.max_length=64",
    limit=64,
    rule="cut",
    rows=100,
    cut=60,
    truncated=0,
    dropped=4,
    same=0,
    tokens=TOKENS,
    enough=358,
)
PROMPTS = replace(LIMITED, stage="ppo", part="prompts", rule="drop", cut=0, dropped=30)
PAIRS = Pairs(
    chosen_longer=0.76,
    rejected_longer=0.2,
    longer_wins=Accuracy(accuracy=0.75, se=0.02, pairs=200, prompts=40),
)


def report(*limits, **changes):
    plain = Report(
        data="jsonl",
        template="model",
        parts=(PART, replace(PART, name="prompts", measured=80)),
        limits=limits or (LIMITED,),
        both_sides={"demonstrations": 0, "demonstrations, prompts": 0},
        shared={"demonstrations, prompts": 7},
        pairs=PAIRS,
        max_lost=0.05,
        positions=None,
    )
    return replace(plain, **changes)
