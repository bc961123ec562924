"""Keeps passwords and tokens out of what is sent to a tracking server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

HIDDEN = "***"
_SECRET_KEY = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|credentials?|auth|token|key)$", re.IGNORECASE
)
_SPECIAL_TOKEN = re.compile(r"(^|_)(bos|eos|pad|unk|sep|cls|mask|image)_token$", re.IGNORECASE)
# to the last @ before the path: a password may hold one
_URL_LOGIN = re.compile(r"(?<=://)[^/\s]+(?=@)")
_URL_QUERY = re.compile(r"(?<=[?&])([\w.\-]+)=([^&#\s'\"]+)")
# of a dict that is written out: {password: x}, {'a': [{"api_key": x}]}
_INNER_KEY = re.compile(r"([\w.\-]+)[\\'\"\s]*:")


def is_secret(key: str) -> bool:
    """Whether the last part of a dotted key names a secret (`hub.access_token`), and not a token
    of a vocabulary (`pad_token`)."""
    last = key.rsplit(".", 1)[-1].replace("-", "_")
    return bool(_SECRET_KEY.search(last)) and not _SPECIAL_TOKEN.search(last)


def redact_value(key: str, value: Any) -> Any:
    """`value` without its secrets. Only text under a secret's key is hidden; numbers, switches
    and nothing are not secrets."""
    if isinstance(value, Mapping):
        return {k: redact_value(str(k), v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_value(key, v) for v in value]
    if isinstance(value, str) and value:
        return HIDDEN if is_secret(key) else redact_text(value)
    return value


def redact_text(text: str) -> str:
    """Hides user and password in addresses: https://me:pw@host becomes https://***@host,
    ?password=pw becomes ?password=***."""
    return _URL_QUERY.sub(
        lambda match: f"{match[1]}={HIDDEN}" if is_secret(match[1]) else match[0],
        _URL_LOGIN.sub(HIDDEN, text),
    )


def sentence(error: Exception) -> str:
    """The first line of an error's text, short and without passwords."""
    return redact_text(next(iter(str(error).splitlines()), type(error).__name__))[:200]


def redact_override(text: str) -> str:
    """A word of a command line: hub.token=abc becomes hub.token=***, and an address loses its
    login.

    A dict or a list is hidden whole if a key in it names a secret: only Hydra knows where such a
    value ends.
    """
    key, mark, value = text.partition("=")
    secret = any(map(is_secret, (key.lstrip("+~"), *_INNER_KEY.findall(value))))
    return f"{key}={HIDDEN}" if mark and value and secret else redact_text(text)


def redacted_file(path: Path) -> str | None:
    """The text of a YAML or JSON file with its secrets hidden, or None where there is nothing to
    hide."""
    yaml: Any = import_module("yaml")  # it carries no types
    as_yaml = yaml.safe_load, partial(yaml.safe_dump, sort_keys=False, allow_unicode=True)
    as_json = json.loads, lambda tree: json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
    forms: dict[str, Any] = {".json": as_json, ".yaml": as_yaml, ".yml": as_yaml}
    load, dump = forms.get(path.suffix, (str, str))
    value = load(path.read_text(encoding="utf-8"))
    clean = redact_value("", value)
    return None if clean == value else str(dump(clean))
