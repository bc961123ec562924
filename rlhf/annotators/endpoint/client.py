"""Requests to an OpenAI-compatible chat endpoint: by the standard library, with retries, and the
key from the environment alone."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Event
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from rlhf.annotators.endpoint.budget import Abandoned, Budget, Unreachable
from rlhf.rundir.secrets.redact import HIDDEN, SHORTEST, redact_message, remember

AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)  # which may go well later
THIS_ONE = (400, 413, 422)  # of a request that the model does not take: too long, or filtered
UNKNOWN_KEY = (401, 403)
LONGEST_WAIT = 60.0  # seconds between two attempts
LARGEST = 10 * 2**20  # bytes of an answer
SHOWN = 200  # characters of what an endpoint says


class Refused(Exception):
    """The endpoint does not take this one request."""


class _NoRedirects(HTTPRedirectHandler):
    """The key goes to the address of the config and to no other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class Reply:
    text: str
    model: str  # as the endpoint names it


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """`base_url`: up to and with `/v1`. `api_key_env`: the variable of the environment that has the
    key; None: none is sent. `timeout`: seconds of one attempt. `backoff`: seconds before the second
    attempt, twice as many before each further one, or what the endpoint asks for."""

    base_url: str
    api_key_env: str | None
    timeout: float
    retries: int
    backoff: float
    budget: Budget = field(default_factory=Budget)

    def key(self) -> str | None:
        """
        Raises:
            ValueError: its variable is not set, or has no key.
        """
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ValueError(
                f"annotator.api_key_env={self.api_key_env}: the variable is not set; set it to the"
                " endpoint's key, or annotator.api_key_env=null where it wants none"
            )
        remember(key)
        if not (key.isascii() and key.isprintable()):  # http.client would repeat it in its error
            raise ValueError(
                f"annotator.api_key_env={self.api_key_env}: the variable has a line break or a"
                " letter that no key has; set it to the endpoint's key alone"
            )
        return key

    def check(self) -> None:
        """Asks for the list of models, which costs nothing: an endpoint that has none is there all
        the same.

        Raises:
            ValueError: the key is missing or refused, or nobody answers; with one sentence.
        """
        try:
            self._send("GET", "models", None)
        except HTTPError as error:
            if error.code in UNKNOWN_KEY:
                raise ValueError(
                    f"{self.base_url} refuses the key (HTTP {error.code}); look at"
                    f" {self.api_key_env or 'annotator.api_key_env'}"
                ) from None
        except (OSError, HTTPException) as error:
            raise ValueError(
                f"{self.base_url} does not answer ({self._words(error)}); is annotator.base_url"
                " right, and the server up?"
            ) from None

    def ask(self, body: Mapping[str, Any], stop: Event) -> Reply:
        """The answer to one chat request, after as many attempts as it takes. `stop` ends them, and
        the waits between them.

        Raises:
            Refused: the endpoint does not take this request.
            Unreachable: it takes none, or not after all attempts; or a limit is met. `Abandoned`
                where `stop` was set.
        """
        data, why = json.dumps(body).encode(), ""
        try:
            self.key()
        except ValueError as error:
            raise Unreachable(str(error)) from None
        for attempt in range(self.retries + 1):
            if stop.is_set():
                raise Abandoned(f"annotator: {self.base_url} was not asked any more")
            self.budget.take()
            wait = min(self.backoff * 2**attempt, LONGEST_WAIT)
            try:
                received = self._send("POST", "chat/completions", data)
                return self._reply(received, sent=len(data))
            except HTTPError as error:
                why = f"HTTP {error.code}: {self._words(error)}"
                if error.code in THIS_ONE:
                    raise Refused(why) from None
                if error.code not in AGAIN:
                    break
                wait = min(max(wait, _asked_wait(error)), LONGEST_WAIT)
            except (OSError, HTTPException, ValueError) as error:
                why = self._words(error)
            if attempt < self.retries:
                stop.wait(wait * random.Random().uniform(1, 1.25))
        raise Unreachable(f"annotator: {self.base_url} gave no answer ({why})")

    def _send(self, method: str, path: str, data: bytes | None) -> bytes:
        """The bytes of an answer with a status of 2xx, whole within the time limit."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := self.key():
            headers["Authorization"] = f"Bearer {key}"
        url = f"{self.base_url.rstrip('/')}/{path}"
        request = Request(url, data=data, headers=headers, method=method)
        end, parts, size = time.monotonic() + self.timeout, list[bytes](), 0
        with build_opener(_NoRedirects).open(request, timeout=self.timeout) as response:
            while part := response.read1(2**16):
                parts.append(part)
                size += len(part)
                if size > LARGEST:
                    raise ValueError(f"it sent more than {LARGEST} bytes")
                if time.monotonic() > end:
                    raise TimeoutError(f"not all of it within {self.timeout:g} s")
        return b"".join(parts)

    def _reply(self, received: bytes, *, sent: int) -> Reply:
        """
        Raises:
            ValueError: what came is no chat completion.
        """
        try:
            answer = json.loads(received)
            text = answer["choices"][0]["message"].get("content") or ""
            usage = answer.get("usage")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ValueError("what it sent is no chat completion") from None
        self.budget.pay(usage if isinstance(usage, dict) else {}, sent=sent, received=len(received))
        if not isinstance(text, str):
            raise ValueError("the content of what it sent is no text")
        return Reply(
            text=self._without_key(text), model=self._without_key(str(answer.get("model")))
        )

    def _without_key(self, text: str) -> str:
        """What an endpoint says, without the key that it was sent. A word of few letters, such as
        a server of one's own takes for any key, is none."""
        key = os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""
        return text.replace(key, HIDDEN) if len(key) >= SHORTEST else text

    def _words(self, error: Exception) -> str:
        """An error in a line: of an HTTP error what the endpoint says, of others their reason."""
        if isinstance(error, HTTPError):
            try:
                with error:
                    text = error.read(SHOWN * 4).decode(errors="replace")
            except (OSError, HTTPException, ValueError):
                text = ""
        elif isinstance(error, TimeoutError) or isinstance(
            getattr(error, "reason", None), TimeoutError
        ):
            text = f"no answer within {self.timeout:g} s"
        else:
            text = str(error.reason if isinstance(error, URLError) else error)
        words = " ".join(redact_message(self._without_key(text)).split())
        return words[:SHOWN] or type(error).__name__


def _asked_wait(error: HTTPError) -> float:
    """Seconds that the endpoint asks to wait; 0 where it asks for none."""
    try:
        return max(0.0, float(error.headers.get("Retry-After", 0)))
    except ValueError:  # a date
        return 0.0
