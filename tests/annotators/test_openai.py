import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlhf.annotators.base import Comparison, Live
from rlhf.annotators.endpoint.budget import Unreachable
from rlhf.annotators.openai import OpenAIAnnotator, verdict
from rlhf.data.conversations import Prompt, asked
from tests.annotators.chat_server import serving

KEY = "sk-only-for-this-test-0123456789"
TEMPLATE = "{prompt}|{first}|{second}"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_API_KEY", KEY)


def longer(question):
    """A judge without a place: the longer answer."""
    _, first, second = question.split("|")
    return "A" if len(first) > len(second) else "B"


def comparison(first, second, prompt="p"):
    return Comparison(prompt=Prompt(turns=asked(prompt)), first=first, second=second)


def judge(server, **settings):
    given = {
        **{"base_url": server.url, "model": "fake", "template": TEMPLATE},
        **{"api_key_env": "TEST_API_KEY", "timeout": 5.0, "retries": 2, "backoff": 0.01},
        **settings,
    }
    return OpenAIAnnotator(**given)


@pytest.mark.parametrize(
    ("reply", "preference"),
    [
        *(("A", 1.0), (" b.\n", 0.0), ("**A**", 1.0), ("(B)", 0.0), ("tie", 0.5)),
        ("The first looks better, [[B]] it is not: [[ A ]]", 1.0),
        *(("A is better", None), ("", None), ("[[C]]", None), ("Both are bad.", None)),
    ],
)
def test_a_verdict_is_a_word_alone_or_in_brackets(reply, preference):
    assert verdict(reply, ("A", "B"), "TIE") == preference


@pytest.mark.parametrize("reply", ["[" * 300_000, "a" + " " * 300_000 + "b", "[[" + "A " * 99_999])
def test_a_long_reply_is_read_in_no_time(reply):
    """A pattern that backtracks would read these for minutes."""
    assert verdict(reply, ("A", "B"), None) is None


def test_words_are_told_by_more_than_case_and_space():
    assert verdict("B", (" A", " B"), None) == 0.0
    given = {"base_url": "http://h/v1", "model": "m", "template": TEMPLATE}
    for words in ({"answers": ("A", "a ")}, {"tie": "b"}, {"answers": ("A", " ")}):
        with pytest.raises(ValueError, match="words that differ in more than case and space"):
            OpenAIAnnotator(**given, **words)


def test_each_comparison_is_asked_in_both_orders():
    with serving(longer) as server:
        judged = judge(server).prefer(
            [comparison("long one", "s"), comparison("s", "longer")], None
        )
    assert judged.tolist() == [1.0, 0.0]
    assert sorted(body["messages"][0]["content"] for body in server.asked) == sorted(
        ["p|long one|s", "p|s|long one", "p|s|longer", "p|longer|s"]
    )
    assert {(b["model"], b["temperature"], b["max_tokens"], b["seed"]) for b in server.asked} == {
        ("fake", 0.0, 16, 0)
    }
    assert {*server.keys} == {f"Bearer {KEY}"}


def test_a_model_that_takes_the_first_one_gives_ties():
    with serving(lambda question: "A") as server:
        both, given = judge(server), judge(server, orders="given")
        assert both.prefer([comparison("a", "b")], None).tolist() == [0.5]
        assert given.prefer([comparison("a", "b")], None).tolist() == [1.0]


def test_what_is_not_set_is_not_sent_and_further_fields_are():
    with serving(longer) as server:
        nothing = dict.fromkeys(("temperature", "max_tokens", "seed", "api_key_env"))
        judge(server, **nothing, system="Be fair.", extra={"top_logprobs": 3}).prefer(
            [comparison("aa", "b")], None
        )
    assert server.asked[0].keys() == {"model", "messages", "top_logprobs"}
    assert server.asked[0]["messages"][0] == {"role": "system", "content": "Be fair."}
    assert {*server.keys} == {None}


def test_texts_with_braces_and_places_stand_as_they_are():
    with serving(lambda question: "A") as server:
        judge(server, orders="given").prefer([comparison("{second}", "{0}", "{x}")], None)
    assert server.asked[0]["messages"][0]["content"] == "{x}|{second}|{0}"


def test_equal_questions_are_asked_once():
    with serving(longer) as server:
        same = [comparison("aa", "b")] * 5
        assert judge(server).prefer(same, None).tolist() == [1.0] * 5
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_go_well_later_is_asked_again(status):
    with serving(longer) as server:
        server.first = [(status, {}), (status, {"Retry-After": "0"})]
        assert judge(server, orders="given").prefer([comparison("aa", "b")], None).tolist() == [1.0]
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (lambda question: (500, f"no {KEY}!"), r"HTTP 500: no \*\*\*!"),
        (lambda question: (401, f"bad key {KEY}"), r"HTTP 401: bad key \*\*\*"),
        (lambda question: (302, "elsewhere"), "HTTP 302"),
        (lambda question: (200, "<html>"), "no chat completion"),
        (lambda question: {"choices": []}, "no chat completion"),
        (lambda question: (200, "[" * 200_000), "no chat completion"),
        (lambda question: (200, "x" * (10 * 2**20 + 1)), "more than 10485760 bytes"),
    ],
)
def test_no_answer_is_told_without_the_key(reply, why):
    with serving(reply) as server, pytest.raises(Unreachable, match=why) as raised:
        judge(server, max_concurrency=1).prefer([comparison("a", "b")], None)
    assert KEY not in str(raised.value)
    times = {401: 1, 302: 1}.get(next((n for n in (401, 302) if str(n) in why), 0), 3)
    assert len(server.asked) == times


def test_an_endpoint_that_is_silent_is_left():
    with serving(longer) as server:
        server.slow = 0.5
        with pytest.raises(Unreachable, match="no answer within 0.1 s"):
            judge(server, timeout=0.1, retries=1, orders="given").prefer(
                [comparison("a", "b")], None
            )


def test_nobody_there():
    with serving(longer) as server:
        gone = judge(server, retries=0)
    with pytest.raises(Unreachable, match="gave no answer"):
        gone.prefer([comparison("a", "b")], None)
    with pytest.raises(ValueError, match="does not answer .* is annotator.base_url right"):
        gone.prepare()
    judge(server, check=False).prepare()


def test_garbage_and_refusals_are_ties_and_told(caplog):
    replies = {"p|a|b": "I cannot say.", "p|c|d": (400, "too long"), "p|ee|f": "A"}
    with serving(lambda question: replies[question]) as server, caplog.at_level(logging.WARNING):
        annotator = judge(server, orders="given")
        given = annotator.prefer(
            [comparison("a", "b"), comparison("c", "d"), comparison("ee", "f")], None
        )
    assert given.tolist() == [0.5, 0.5, 1.0]
    assert annotator.unanswered == 2 and len(server.asked) == 3
    assert "2 of 3 requests gave no verdict and count as ties, the first: 'I cannot" in caplog.text


def test_the_key_is_asked_for_before_anything_is(monkeypatch):
    with serving(longer) as server:
        judge(server).prepare()
        server.models = 404  # an endpoint without a list of models is there all the same
        judge(server).prepare()
        server.models = 401
        with pytest.raises(ValueError, match=r"refuses the key \(HTTP 401\); look at TEST_API_KEY"):
            judge(server).prepare()
        monkeypatch.delenv("TEST_API_KEY")
        with pytest.raises(ValueError, match="api_key_env=TEST_API_KEY: the variable is not set"):
            judge(server).prepare()
        with pytest.raises(Unreachable, match="the variable is not set"):
            judge(server).prefer([comparison("a", "b")], None)


@pytest.mark.parametrize("fault", ["\n", "\u011f"])
def test_a_variable_that_has_no_key_is_not_repeated(monkeypatch, fault):
    """http.client would name it in its error."""
    monkeypatch.setenv("TEST_API_KEY", f"sk-only-for{fault}this-test-0123456789")
    with serving(longer) as server:
        with pytest.raises(ValueError, match="TEST_API_KEY: the variable has a line") as raised:
            judge(server).prepare()
        with pytest.raises(Unreachable, match="TEST_API_KEY: the variable has a line") as asked_it:
            judge(server).prefer([comparison("a", "b")], None)
    assert "only-for" not in str(raised.value) + str(asked_it.value)
    assert server.keys == []


def test_who_asks_the_same_at_the_same_time_waits_and_asks_nothing(tmp_path):
    """As the ranks of a run do, whose pairs are labelled."""
    pairs = [comparison("a" * n, "b") for n in range(2, 8)]
    with serving(longer) as server, ThreadPoolExecutor(2) as ranks:
        server.slow = 0.05
        judges = [judge(server, cache=str(tmp_path / "kept")) for _ in range(2)]
        both = [ranks.submit(each.prefer, pairs, None) for each in judges]
        assert [given.result().tolist() for given in both] == [[1.0] * 6] * 2
    assert len(server.asked) == 12


def test_a_second_run_asks_nothing(tmp_path):
    """Nor does it need the key; a damaged answer is asked for again."""
    pairs = [comparison("aa", "b"), comparison("c", "dd")]
    with serving(longer) as server:
        cache = {"cache": str(tmp_path / "kept"), "max_concurrency": 4}
        first = judge(server, **cache).prefer(pairs, None)
        assert len(server.asked) == 4
        again = judge(server, **cache, api_key_env="NOT_SET_ANYWHERE", check=False)
        again.prepare()
        assert again.prefer(pairs, None).tolist() == first.tolist() == [1.0, 0.0]
        assert len(server.asked) == 4
        kept = sorted((tmp_path / "kept").glob("*/*.json"))
        assert len(kept) == 4
        kept[0].write_text("{")
        judge(server, **cache).prefer(pairs, None)
        assert len(server.asked) == 5
        # another model, or another way to draw, is asked anew
        judge(server, **cache, seed=1).prefer(pairs[:1], None)
        assert len(server.asked) == 7


def test_the_key_is_in_no_file(tmp_path):
    """Not even where the endpoint says it aloud."""
    with serving(lambda question: f"[[A]] by {KEY}") as server:
        annotator = judge(server, cache=str(tmp_path / "kept"))
        annotator.prefer([comparison("a", "b")], None)
    texts = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert len(texts) == 2 and all("[[A]] by ***" in text and KEY not in text for text in texts)
    assert KEY not in repr(vars(annotator)) + repr(annotator.endpoint)


def test_requests_and_cost_have_limits():
    pairs = [comparison("a" * n, "b") for n in range(2, 8)]
    with serving(longer) as server:
        with pytest.raises(Unreachable, match=r"annotator.max_requests=3 are made; raise it"):
            judge(server, max_requests=3, max_concurrency=1).prefer(pairs, None)
        assert len(server.asked) == 3
        # a request costs (50 * 10 + 1 * 100) / 1e6 = 0.0006: the fourth begins below 0.002
        dear = {"price_in": 10.0, "price_out": 100.0, "max_cost": 0.002, "max_concurrency": 1}
        with pytest.raises(Unreachable, match=r"max_cost=0.002 is spent \(0.0024\)"):
            judge(server, **dear).prefer(pairs, None)
        assert len(server.asked) == 3 + 4
    with pytest.raises(ValueError, match="max_cost needs annotator.price_in"):
        judge(server, max_cost=1.0)


def test_without_usage_each_byte_costs_a_token():
    with serving(lambda question: "A") as server:
        server.usage = None
        annotator = judge(server, orders="given", price_in=1e6, max_cost=1e9)
        annotator.prefer([comparison("a", "b")], None)
    sent = len('{"model": "fake", "temperature": 0.0, "max_tokens": 16, "seed": 0, "messages": ')
    sent += len('[{"role": "user", "content": "p|a|b"}]}')
    assert annotator.endpoint.budget.cost == sent


def test_a_count_of_tokens_that_is_none_is_a_token_a_byte():
    with serving(lambda question: "A") as server:
        server.usage = {"prompt_tokens": 10**4000, "completion_tokens": 2}
        annotator = judge(server, orders="given", price_in=1e6, price_out=1.0)
        annotator.prefer([comparison("a", "b")], None)
    assert 0 < annotator.endpoint.budget.cost < 1000


def test_a_copy_with_live_objects_has_the_same_limits():
    with serving(longer) as server:
        annotator = judge(server, max_requests=3)
        annotator.bind(Live()).prefer([comparison("aa", "b")], None)
        with pytest.raises(Unreachable, match="max_requests=3 are made"):
            annotator.bind(Live()).prefer([comparison("aa", "c")], None)
