"""What an endpoint's settings are refused for, asked by the check of a config. Knows the standard
library only."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

VARIABLE = re.compile(r"^[A-Z][A-Z0-9_]{0,63}$")


def url_fault(url: str) -> str | None:
    """Why an address is none of an endpoint; None where it is. No login is repeated."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https") or not host:
        return "expected the address of an endpoint, such as http://localhost:8000/v1"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return (
            "expected an address without a login or a query: the key stands in the variable of the"
            " environment that annotator.api_key_env names"
        )
    return None


def variable_fault(name: str) -> str | None:
    """Why a text is no name of a variable; None where it is. It may be the key itself, so it is
    not repeated."""
    if VARIABLE.match(name):
        return None
    return (
        "expected the name of a variable of the environment, in capital letters, such as"
        " OPENAI_API_KEY; never the key itself"
    )


def limits_fault(max_cost: float | None, price_in: float, price_out: float) -> str | None:
    """Why a limit on the cost would limit nothing; None where it does."""
    if max_cost is None or price_in or price_out:
        return None
    return "needs annotator.price_in and annotator.price_out, the prices of a million tokens"
