"""Keeps passwords and tokens out of every file and of what is sent to a tracking server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from rlhf.rundir.read import parse_yaml
from rlhf.rundir.secrets.environment import VARIABLE, filled, mark

HIDDEN = "***"
_SECRET_KEY = re.compile(
    r"(^|_)(passwords?|passwd|pwd|passphrase|secrets?|credentials?|auth|authorization|bearer|cookie"
    r"|token|key|(api|access|secret|private)_?keys?|(access|auth|api|bearer)_?tokens?)$",
    re.IGNORECASE,
)
_SPECIAL_TOKEN = re.compile(
    r"(^|_)(bos|eos|pad|unk|sep|cls|mask|image|begin|start|stop|end)_token$", re.IGNORECASE
)
_COLUMN = re.compile(  # of a table: which one holds the prompts
    r"(^|_)(prompt|response|chosen|rejected|instruction|input|output|text|label|score|reward|"
    r"question|answer|message|role|content|name|id|row|sort|group|primary|public)_key$",
    re.IGNORECASE,
)
# to the last @ before the path: a password may hold one
_URL_LOGIN = re.compile(r"(?<=://)[^/\s]+(?=@)")
_URL_QUERY = re.compile(r"(?<=[?&])([\w.\-]+)=([^&#\s'\"]+)")
# of a dict that is written out: {password: x}, {'a': [{"api_key": x}]}
_INNER_KEY = re.compile(r"([\w.\-]+)[\\'\"\s]*:")


def is_secret(key: str) -> bool:
    """Whether the last part of a dotted key names a secret (`hub.access_token`), and not a token
    of a vocabulary (`pad_token`) or a column of a table (`prompt_key`)."""
    last = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key.rsplit(".", 1)[-1]).replace("-", "_")
    harmless = _SPECIAL_TOKEN.search(last) or _COLUMN.search(last)
    return bool(_SECRET_KEY.search(last)) and not harmless


def redact_value(key: str, value: Any) -> Any:
    """`value` without its secrets. Only text under a secret's key is hidden; numbers, switches
    and nothing are not secrets. `${oc.env:KEY}` is none either, but for its default."""
    if isinstance(value, Mapping):
        return {k: redact_value(str(k), v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_value(key, v) for v in value]
    if isinstance(value, str) and value:
        return _hidden(value) if is_secret(key) else redact_text(value)
    return value


def _hidden(text: str) -> str:
    """A secret: only the variables of the environment in it are left."""
    if not VARIABLE.search(text):
        return HIDDEN
    return VARIABLE.sub(
        lambda match: mark(match[1], HIDDEN) if match[2] not in (None, "null") else match[0], text
    )


def redact_text(text: str) -> str:
    """Hides user and password in addresses: https://me:pw@host becomes https://***@host,
    ?password=pw becomes ?password=***."""
    text = _URL_LOGIN.sub(lambda match: _login(match[0]), text)
    return _URL_QUERY.sub(
        lambda match: f"{match[1]}={_hidden(match[2])}" if is_secret(match[1]) else match[0], text
    )


def redact_message(text: str) -> str:
    """The same of an error's text or a log, which may quote any secret that this process was given.

    Not for values that are read again: a secret could be a part of a name."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return redact_text(text)


def _login(login: str) -> str:
    """`me:${oc.env:PW}` stays: what it holds of a secret is a variable's name."""
    written = VARIABLE.sub("", login)
    password = written.partition(":")[2] if ":" in written else written
    return HIDDEN if password else _hidden(login)


_known: set[str] = set()
SHORTEST = 6  # characters: a shorter one stands in too many words


def remember(secret: str | None) -> None:
    """Has `redact_message` hide a secret wherever it stands. Of an address that is its password;
    a path is none: it stands in every traceback."""
    if not secret or os.path.isabs(secret):
        return
    secrets = [text for _, text in secrets_in(secret)] if "://" in secret else [secret]
    _known.update(text for text in secrets if len(text) >= SHORTEST)


def secrets_in(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The key and the text of each secret that stands in a plain config as it is."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from secrets_in(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secrets_in(item, key)
    elif isinstance(value, str) and value and not VARIABLE.search(value):
        if is_secret(key):
            yield key, value
        for login in _URL_LOGIN.findall(value):
            yield key, login.partition(":")[2] or login
        yield from ((key, word) for name, word in _URL_QUERY.findall(value) if is_secret(name))


class Redacted:
    """A text stream whose lines are written without secrets."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redact_message(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def looked_up(text: str) -> str:
    """The text with the variables of the environment that it names in their place. Their values
    are secrets from then on.

    Raises:
        ValueError: one is not set.
    """
    for name, _ in VARIABLE.findall(text):
        remember(os.environ.get(name))
    return filled(text)


def sentence(error: Exception) -> str:
    """The first line of an error's text, short and without passwords."""
    return redact_message(next(iter(str(error).splitlines()), type(error).__name__))[:200]


def redact_override(text: str) -> str:
    """A word of a command line: hub.token=abc becomes hub.token=***, and an address loses its
    login.

    A dict or a list is hidden whole if a key in it names a secret: only Hydra knows where such a
    value ends.
    """
    key, equals, value = text.partition("=")
    if equals and value and is_secret(key.lstrip("+~")):
        return f"{key}={_hidden(value)}"
    inner = any(map(is_secret, _INNER_KEY.findall(VARIABLE.sub("", value))))
    return f"{key}={HIDDEN}" if equals and inner else redact_text(text)


def redacted_file(path: Path) -> str | None:
    """The text of a YAML or JSON file with its secrets hidden, or None where there is nothing to
    hide."""
    yaml: Any = import_module("yaml")  # it carries no types
    as_yaml = parse_yaml, partial(yaml.safe_dump, sort_keys=False, allow_unicode=True)
    as_json = json.loads, lambda tree: json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
    forms: dict[str, Any] = {".json": as_json, ".yaml": as_yaml, ".yml": as_yaml}
    load, dump = forms.get(path.suffix, (str, str))
    value = load(path.read_text(encoding="utf-8"))
    clean = redact_value("", value)
    return None if clean == value else str(dump(clean))
