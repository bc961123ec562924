"""The template of a run: the model's own, one of ours, or a file of the user's. No torch here."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.data.records import DataError

AUTO, MODEL, PLAIN, TRANSCRIPT = "auto", "model", "plain", "transcript"
FOLDER = Path(__file__).parent / "templates"
# a template that writes today's date would give the same rows other ids tomorrow
DATED = re.compile(r"\bstrftime_now\b")
SOME_DAY = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"


class Template(NamedTuple):
    name: str  # as it is shown: model, plain, ..., or a file
    text: str  # jinja, as `tokenizer.chat_template` keeps it


def built_in() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.jinja"))


def choose(choice: str, tokenizer: Any, *, continues: bool) -> Template:
    """The template that `data.template` names.

    Args:
        choice: auto, model, the name of one of ours, or a file that ends with .jinja. auto is the
            model's own; where it has none, plain for text that goes on and transcript for
            conversations.
        continues: the data's rows are text that goes on.

    Raises:
        DataError: there is no such template, or the model has none of its own.
    """
    own = own_template(tokenizer)
    if choice == AUTO:
        choice = MODEL if own else PLAIN if continues else TRANSCRIPT
    if choice == MODEL:
        if own is None:
            raise DataError(
                "data.template=model: the model's tokenizer has no chat template; choose"
                f" {', '.join(built_in())} or a file (data.template=my.jinja)"
            )
        return Template(MODEL, undated(own))
    if choice in built_in():
        text = (FOLDER / f"{choice}.jinja").read_text(encoding="utf-8")
        return Template(choice, f"{{%- set prefix = {prefix(choice, tokenizer)} -%}}\n{text}")
    return Template(choice, undated(_file(choice)))


def template_file(choice: str) -> str | None:
    """The text of the file that `data.template` names; None where it names none.

    Raises:
        DataError: it names neither a file nor anything else.
    """
    return None if choice in (AUTO, MODEL, *built_in()) else _file(choice)


def _file(choice: str) -> str:
    path = Path(choice).expanduser()
    if path.suffix != ".jinja":
        names = [AUTO, MODEL, *built_in()]
        near = difflib.get_close_matches(choice, names, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise DataError(
            f"data.template={choice}: expected {', '.join(names)} or a file that ends with"
            f" .jinja{meant}"
        )
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"data.template={choice}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"data.template={choice}: not UTF-8 at byte {error.start + 1}") from None


def own_template(tokenizer: Any) -> str | None:
    """The chat template that the tokenizer came with; of several the one named default."""
    own = getattr(tokenizer, "chat_template", None)
    if isinstance(own, dict):
        return own.get("default")
    return own or None


def undated(text: str) -> str:
    """The template with one fixed day wherever it asks for today's."""
    return SOME_DAY + text if DATED.search(text) and SOME_DAY not in text else text


def prefix(choice: str, tokenizer: Any) -> str:
    """What one of our templates begins with, in jinja: the BOS where the tokenizer adds one. In
    plain a text gets the ids that the tokenizer itself gives it, so also the space that some put
    before its first word, though not after a BOS that is written out."""
    if not adds_bos(tokenizer):
        return "''"
    bos, whole = tokenizer.bos_token, tokenizer("a")["input_ids"]
    written, spaced = (
        tokenizer(f"{bos}{text}", add_special_tokens=False)["input_ids"] for text in ("a", " a")
    )
    if choice == PLAIN and written != whole and spaced == whole:
        return "bos_token ~ ('' if messages[0].content[:1] in ('', ' ') else ' ')"
    return "bos_token"


def adds_bos(tokenizer: Any) -> bool:
    """True if the tokenizer itself puts its BOS before a text."""
    if tokenizer.bos_token_id is None:
        return False
    return list(tokenizer("a")["input_ids"])[:1] == [tokenizer.bos_token_id]
