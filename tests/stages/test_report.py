"""The report of a run: with its own tokenizer, template and limits, of the parts that it reads."""

from pathlib import Path

import pytest

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.config.composition.plan import plan
from rlhf.config.composition.session import session
from rlhf.config.plugins.folders import conf_dir
from rlhf.data.records import Loaded
from rlhf.data.report.refusal import refusals
from rlhf.stages import report as module
from rlhf.stages.inputs import Inputs
from rlhf.stages.report import data_report

RT_POLARITY = Path(__file__).parents[3] / "shared" / "data" / "rt_polarity"
SMOLLM2 = Path(__file__).parents[2] / "outputs" / "models" / "smollm2"
SMALL = ["data.demonstrations=40", "data.pairs=30", "data.prompts=40"]
EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


def inputs(*overrides):
    cfg = validate(compose([*overrides]))
    return Inputs(cfg=cfg, **Loaded.of(build(cfg.data))._asdict())


def part_of(report, name):
    return next(part for part in report.parts if part.name == name)


def test_it_covers_the_stages_of_the_run_and_what_they_read():
    whole = data_report(inputs(*SMALL))
    assert [limit.stage for limit in whole.limits] == ["sft", "reward_model", "ppo"]
    assert whole.positions and whole.template == "plain" and whole.leaks == 0
    alone = data_report(inputs(*SMALL, "stage=sft"))
    assert [limit.stage for limit in alone.limits] == ["sft"]
    assert part_of(alone, "demonstrations").measured == 40
    assert part_of(alone, "preferences").tokens is None
    assert part_of(alone, "preferences").all > 0


def test_tokens_are_those_that_are_trained_on():
    """A sentence of the grammar is one token a word and mark, and EOS."""
    given = inputs(*SMALL, "stage=sft")
    rows = given.data.demonstrations
    texts = [row.prompt[0].content + row.completion for row in (*rows.train, *rows.heldout)]
    lengths = [len(given.tokenizer(text)["input_ids"]) + 1 for text in texts]
    tokens = part_of(data_report(given), "demonstrations").tokens
    assert (tokens.least, tokens.most) == (min(lengths), max(lengths))


def test_a_run_looks_at_a_sample_and_the_command_at_more(monkeypatch):
    monkeypatch.setattr(module, "MOST_IN_A_RUN", 10)
    given = inputs(*SMALL, "stage=sft")
    assert part_of(data_report(given), "demonstrations").measured == 10
    assert part_of(data_report(given, thorough=True), "demonstrations").measured == 40


def test_prompts_are_held_to_their_own_limit():
    given = inputs(*SMALL, "generation.max_prompt_tokens=3")
    every = [*given.data.prompts.train, *given.data.prompts.heldout]
    longer = sum(length > 3 for length in given.prompt_lengths([row.turns for row in every]))
    (*_, prompts) = data_report(given).limits
    assert prompts.bound == "generation.max_prompt_tokens=3"
    assert (prompts.dropped, prompts.rows) == (longer, 40) and longer > 30
    rule = "data.on_long_prompt=truncate_left"
    (*_, prompts) = data_report(inputs(*SMALL, "generation.max_prompt_tokens=3", rule)).limits
    assert (prompts.dropped, prompts.truncated) == (0, longer)


def test_a_source_of_ones_own_without_a_word_about_it_may_lose_a_twentieth():
    given = inputs(*SMALL)
    del given.source.max_lost
    assert data_report(given).max_lost == 0.05


@pytest.fixture(scope="module")
def judged():
    """judged(overrides) -> why a run of them, or the first job of a sweep, would be refused"""
    known = {}

    def go(*overrides):
        with session() as hydra:
            cfg = plan(hydra, overrides).jobs[0].config
        lengths = (cfg.sft.max_length, cfg.reward_model.max_length)
        key = (cfg.data, cfg.model, *lengths, repr(cfg.scorer))
        if key not in known:
            given = Inputs(cfg=cfg, **Loaded.of(build(cfg.data))._asdict())
            known[key] = refusals(data_report(given), new_tokens=cfg.generation.max_new_tokens)
        return known[key]

    return go


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_no_experiment_of_ours_is_refused(experiment, judged):
    more = []
    if "rt_polarity" in experiment:
        if not RT_POLARITY.is_dir():
            pytest.skip("no ../shared/data/rt_polarity beside the repository")
        more = [f"data.path={RT_POLARITY}"]
    if "smollm2" in experiment:
        if not (SMOLLM2.is_dir() and RT_POLARITY.is_dir()):
            pytest.skip("no outputs/models/smollm2 (make smollm2), or no ../shared/data")
        more = [f"model.path={SMOLLM2}", f"paths.data={RT_POLARITY.parent}"]
    assert judged(f"experiment={experiment}", *more) == []


@pytest.mark.parametrize("data", ["reviews", "micro"])
def test_no_embedded_task_is_refused(data, judged):
    assert judged(f"data={data}") == []
