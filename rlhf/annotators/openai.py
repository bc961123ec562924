"""A chat model behind an OpenAI-compatible endpoint, asked which of two answers is better."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Any, Literal

import torch
from torch import Tensor

from rlhf.annotators.base import Comparison, Simulated
from rlhf.annotators.checks import answers_fault, plain_word, template_fault, words_fault
from rlhf.annotators.endpoint.answers import Answers, key_of
from rlhf.annotators.endpoint.budget import Abandoned, Budget
from rlhf.annotators.endpoint.checks import limits_fault
from rlhf.annotators.endpoint.client import Endpoint, Refused
from rlhf.arguments import one_of
from rlhf.rundir.words import plural

log = logging.getLogger(__name__)

ORDERS = ("both", "given")
TIE = 0.5
SHOWN = 80  # characters of a reply in a warning
_BRACKETED = re.compile(r"\[\[([^\[\]]*)\]\]")
LONGEST = 1000  # characters of a reply that may be a word alone


def verdict(reply: str, answers: Sequence[str], tie: str | None) -> float | None:
    """1 where a reply names the first answer, 0 the second, 0.5 a tie; None where it names none.

    A reply is one of the words, whatever its case and the punctuation around it; or it has one of
    them in double square brackets, `[[A]]`, of which the last counts.
    """
    words = {plain_word(answers[0]): 1.0, plain_word(answers[1]): 0.0}
    words |= {plain_word(tie): TIE} if tie else {}
    bracketed = _BRACKETED.findall(reply)
    text = plain_word(bracketed[-1] if bracketed else reply)
    if len(text) > LONGEST:
        return None
    return words.get(text, words.get(re.sub(r"^[\W_]+|[\W_]+$", "", text)))


def _refuse(**faults: str | None) -> None:
    """Raises ValueError for the first argument that has a fault."""
    for name, fault in faults.items():
        if fault is not None:
            raise ValueError(f"{name} {fault}")


class OpenAIAnnotator(Simulated):
    """Asks a chat endpoint, each comparison in both orders with `orders=both`: its preference is
    the mean of the two verdicts, so that a model that always takes the first one gives ties.

    A reply that names none of the words, and a request that the model does not take, are ties;
    `unanswered` counts them, and a warning tells them.

    Args:
        base_url: of the endpoint, up to and with `/v1`.
        model: its name there.
        api_key_env: the variable of the environment that has the key; None: none is sent.
        template: the question, with `{prompt}`, `{first}` and `{second}`.
        system: a message before it; None: none.
        answers: the words for the first and the second answer; `tie` for neither, None: no ties.
        temperature, max_tokens, seed: of the request, None: not sent. `extra`: its further fields.
        max_concurrency: requests at a time.
        timeout: seconds of an attempt; `retries` after it, `backoff` seconds before the first.
        max_requests, max_cost: of this process, retries and all; by `price_in` and `price_out` of
            a million tokens. None: no limit.
        cache: a folder that keeps every answer; None: none is kept.
        check: `prepare` asks whether the endpoint is there and takes the key.

    Raises:
        ValueError: the template or the words cannot be used.
    """

    name = "openai"
    remote = True  # of several ranks the first alone asks it

    def __init__(
        self,
        base_url: str,
        model: str,
        template: str,
        api_key_env: str | None = "OPENAI_API_KEY",
        system: str | None = None,
        answers: Sequence[str] = ("A", "B"),
        tie: str | None = None,
        orders: Literal["both", "given"] = "both",
        temperature: float | None = 0.0,
        max_tokens: int | None = 16,
        seed: int | None = 0,
        extra: Mapping[str, Any] | None = None,
        max_concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 1.0,
        max_requests: int | None = None,
        max_cost: float | None = None,
        price_in: float = 0.0,
        price_out: float = 0.0,
        cache: str | None = None,
        check: bool = True,
        flip: float = 0.0,
    ) -> None:
        super().__init__(flip)
        _refuse(
            template=template_fault(template),
            answers=answers_fault(answers) or words_fault(answers, tie),
            max_cost=limits_fault(max_cost, price_in, price_out),
        )
        self.template, self.system = template, system
        self.answers, self.tie = tuple(answers), tie
        self.orders, self.max_concurrency = one_of("orders", orders, ORDERS), max_concurrency
        drawn = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
        given = {name: value for name, value in drawn.items() if value is not None}
        self.request: dict[str, Any] = {"model": model, **given, **(extra or {})}
        limits = {"max_requests": max_requests, "max_cost": max_cost}
        reached = {"timeout": timeout, "retries": retries, "backoff": backoff}
        self.endpoint = Endpoint(
            base_url=base_url,
            api_key_env=api_key_env,
            budget=Budget(**limits, price_in=price_in, price_out=price_out),  # type: ignore[arg-type]
            **reached,  # type: ignore[arg-type]
        )
        self.check = check
        self.kept = Answers(None if cache is None else Path(cache))
        self.unanswered = 0  # verdicts that nobody could read
        self.refusals: list[str] = []  # why the model did not take requests

    def prepare(self) -> None:
        """Raises ValueError where the key is missing or refused, or nobody answers."""
        if self.check:
            self.endpoint.check()

    def probabilities(self, comparisons: Sequence[Comparison]) -> Tensor:
        if self.orders == "given":
            return self.shown_first(comparisons)
        given = self.shown_first([*comparisons, *(each.swapped for each in comparisons)])
        first, second = given.chunk(2)
        return (first + 1 - second) / 2

    def shown_first(self, comparisons: Sequence[Comparison]) -> Tensor:
        """[N] float64: 1 where the one shown first is preferred, 0 the other, 1/2 a tie.

        Raises:
            Unreachable: the endpoint does not answer, or a limit is met. What it has answered is
                kept.
        """
        bodies = [self.body(each) for each in comparisons]
        keys = [key_of(self.endpoint.base_url, body) for body in bodies]
        replies = self._replies(dict(zip(keys, bodies, strict=True)))
        every = [verdict(replies[key] or "", self.answers, self.tie) for key in keys]
        if lost := every.count(None):
            self.unanswered += lost
            example = next(replies[k] for k, v in zip(keys, every, strict=True) if v is None)
            log.warning(
                "annotator=openai: %d of %s gave no verdict and count as ties, the first: %s",
                *(lost, plural(len(every), "request")),
                f"refused ({self.refusals[-1]})" if example is None else repr(example[:SHOWN]),
            )
        return torch.tensor([TIE if v is None else v for v in every], dtype=torch.float64)

    def body(self, comparison: Comparison) -> dict[str, Any]:
        """The request that asks for a comparison's verdict, in the order it has."""
        question = self.template.format(
            prompt=comparison.prompt.text, first=comparison.first, second=comparison.second
        )
        turns = [] if self.system is None else [{"role": "system", "content": self.system}]
        return {**self.request, "messages": [*turns, {"role": "user", "content": question}]}

    def _replies(self, asked: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
        """The reply to each request, by its key; None where the model does not take it. Those on
        disk are not asked for again."""
        replies: dict[str, str | None] = {key: self.kept.find(key) for key in asked}
        if None not in replies.values():
            return replies
        with self.kept.alone(asked):
            replies = {key: self.kept.find(key) for key in asked}
            return replies | self._fetched({k: asked[k] for k in asked if replies[k] is None})

    def _fetched(self, asked: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
        """
        Raises:
            Unreachable: a reply cannot be had; nobody waits for the others.
        """
        if not asked:
            return {}
        stop, failures = Event(), list[Exception]()
        pool = ThreadPoolExecutor(min(self.max_concurrency, len(asked)))
        try:
            futures = {
                key: pool.submit(self._ask, key, body, stop, failures)
                for key, body in asked.items()
            }
            wait(futures.values(), return_when=FIRST_EXCEPTION)
            if failures:
                raise failures[0]
            return {key: future.result() for key, future in futures.items()}
        finally:  # also where a signal ends the run: nobody waits for what is left
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _ask(
        self, key: str, body: Mapping[str, Any], stop: Event, failures: list[Exception]
    ) -> str | None:
        """Where it fails it says so in `failures` and stops the others: they would fail too, each
        after its attempts."""
        try:
            reply = self.endpoint.ask(body, stop)
        except Refused as refusal:
            self.refusals.append(str(refusal))
            return None
        except Abandoned:
            raise
        except Exception as error:
            failures.append(error)
            stop.set()
            raise
        self.kept.keep(key, reply.text, reply.model)
        return reply.text
