"""All groups, with their options, a line or two each."""

from __future__ import annotations

import json
import textwrap

from rlhf.config.described.contents import TOP, Contents
from rlhf.config.described.facts import written

WIDTH = 100
FOOT = """
* is chosen where nobody chooses. GROUP=OPTION chooses another: kl/controller=adaptive.
KEY=VALUE sets a value: ppo.iterations=100. optimizer@ppo.optimizer=sgd: the option of one place.
rlhf config GROUP    its options and keys: type, range, default, comment, who reads them
rlhf config KEY      one key
rlhf --cfg job       the settings that a command has, as YAML"""


def text(known: Contents) -> str:
    """Settings at the top, then every group with its comment and its options."""
    lines = ["Settings at the top", ""]
    for key in known.own_keys("", TOP):
        value = known.option("", TOP).values[key]
        lines += _filled(f"  {key}={written(value.value)}", value.comment)
    lines += ["", "Groups and their options", ""]
    for group, options in known.files.items():
        if not group:
            continue
        lines += _filled(f"  {group}", known.comment(group))
        default = known.default(group)
        names = " ".join(f"{name}*" if name == default else name for name in options)
        margin = " " * 6
        lines += textwrap.wrap(names, WIDTH, initial_indent=margin, subsequent_indent=margin)
    return "\n".join([*lines, FOOT])


def _filled(head: str, comment: str) -> list[str]:
    """A name, and what it is in a column of its own."""
    margin = " " * 20
    first = f"{head:<20}" if len(head) < 20 else f"{head}  "
    return textwrap.wrap(f"{first}{comment}", WIDTH, subsequent_indent=margin) or [head]


def as_json(known: Contents) -> str:
    """Every group: its comment, its default and its options with their comments."""
    groups = {
        group: {
            "comment": known.comment(group),
            "default": known.default(group) if group else TOP,
            "options": {name: known.option(group, name).head for name in options},
        }
        for group, options in known.files.items()
    }
    return json.dumps(groups, indent=2, ensure_ascii=False)
