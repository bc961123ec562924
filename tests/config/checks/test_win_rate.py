import copy

import pytest

from rlhf.config.compose import compose, validate
from rlhf.config.naming import run_hash
from rlhf.config.validate import ConfigError

ENDPOINT = ["annotator=openai", "annotator.model=m", "evaluation.win_rate=sft"]
KEY = "sk-0123456789abcdef"


def plain(*overrides):
    return validate(compose([*overrides])).plain()


def faults(*overrides):
    with pytest.raises(ConfigError) as raised:
        plain(*overrides)
    return "\n".join(raised.value.faults)


def test_a_run_without_win_rates_keeps_its_hash():
    today = plain()
    before = copy.deepcopy(today)
    del before["evaluation"]["win_rate"], before["annotator"], before["labels"]
    assert run_hash(before) == run_hash(today)
    assert run_hash(plain("evaluation.win_rate=sft")) != run_hash(today)


def test_how_an_endpoint_is_reached_decides_nothing():
    base = run_hash(plain(*ENDPOINT))
    reached = ["annotator.timeout=5", "annotator.retries=1", "annotator.max_concurrency=2"]
    reached += ["annotator.api_key_env=OTHER", "annotator.cache=null", "annotator.check=false"]
    reached += ["annotator.max_requests=9", "annotator.max_cost=1", "annotator.price_in=1"]
    assert run_hash(plain(*ENDPOINT, *reached, "annotator.backoff=2")) == base
    for asked in ("annotator.model=other", "annotator.seed=1", "annotator.orders=given"):
        assert run_hash(plain(*ENDPOINT, asked)) != base


def test_nor_does_it_of_a_member_of_a_pool():
    member = ["annotator=pool", "+annotator@annotator.members.judge=openai"]
    asked = [*member, "annotator.members.judge.model=m", "evaluation.win_rate=sft"]
    base = run_hash(plain(*asked))
    assert run_hash(plain(*asked, "annotator.members.judge.timeout=5")) == base
    assert run_hash(plain(*asked, "paths.artifacts=/elsewhere")) == base
    assert run_hash(plain(*asked, "annotator.members.judge.seed=1")) != base
    assert "annotator.members.judge.max_cost=3.0: needs annotator.price_in" in faults(
        *asked, "annotator.members.judge.max_cost=3"
    )


def test_an_annotator_needs_what_it_judges_by():
    assert "annotator=reward_model: the run trains no reward model" in faults(
        *("annotator=reward_model", "scorer=gold", "ppo.value_init=policy"),
        "evaluation.win_rate=sft",
    )
    data = ["data=files", "data.demonstrations=a.jsonl", "data.preferences=b.jsonl"]
    assert "which evaluation.win_rate=sft would be judged by" in faults(
        *data, "data.gold=null", "evaluation.win_rate=sft"
    )
    plain(*data, "data.gold=null")  # nobody is asked


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("evaluation.win_rate=gpt4", "expected one of sft, reference"),
        ("annotator.base_url=localhost:8000", "such as http://localhost:8000/v1"),
        ("annotator.base_url='http://h/v1?key=a'", "without a login or a query"),
        ("annotator.template='{first}'", "has no {second}"),
        ("annotator.max_cost=3", "needs annotator.price_in and annotator.price_out"),
        ("annotator.answers=[A]", "expected two different words"),
        ("annotator.answers=[A,a]", "words that differ in more than case and space"),
        ("annotator.tie=b", "words that differ in more than case and space"),
        ("annotator.template='{first:d} {second}'", "{first} with a format"),
    ],
)
def test_what_is_refused(override, sentence):
    assert sentence in faults(*ENDPOINT, override)


def test_a_key_in_the_config_is_refused_and_not_repeated():
    told = faults(*ENDPOINT, f"annotator.api_key_env={KEY}")
    assert "annotator.api_key_env=***: expected the name of a variable" in told and KEY not in told
    told = faults(*ENDPOINT, f"annotator.base_url=https://me:{KEY}@host/v1")
    assert "without a login" in told and KEY not in told
