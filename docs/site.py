"""What mkdocs does beside its own: folders in the menu, links to files outside docs/, anchors."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[(?P<label>[^\]]*)\]\((?P<path>\.\.?/[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
log = logging.getLogger("mkdocs.plugins.site")  # whose warnings fail a strict build


def slug(title: str, separator: str = "-") -> str:
    """The anchor of a heading, as repository pages make it too."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", separator)


def pages_of(folder: Path) -> list[str]:
    """Its pages by name, as a menu lists them: the README first."""
    pages = sorted(folder.glob("*.md"), key=lambda page: (page.name != "README.md", page.name))
    return [page.relative_to(ROOT / "docs").as_posix() for page in pages]


def expanded(item: Any) -> Any:
    """A part of the menu in which a folder (`decisions/`) is replaced by the list of its pages."""
    if isinstance(item, dict):
        return {title: expanded(part) for title, part in item.items()}
    if isinstance(item, list):
        return [expanded(part) for part in item]
    return pages_of(ROOT / "docs" / item) if item.endswith("/") else item


def on_config(config: Any) -> Any:
    config.nav = expanded(config.nav)
    config.mdx_configs["toc"]["slugify"] = slug
    return config


def outside(path: str, page: str) -> str | None:
    """A link's target, from the repository's root, where that lies outside docs/."""
    target = os.path.normpath(os.path.join("docs", os.path.dirname(page), path))
    return None if target.startswith("docs/") else target


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Files outside docs/ are no pages of the site: a link to one leads to the repository where
    `repo_url` says where that is, and else is its name."""

    def replaced(link: re.Match[str]) -> str:
        target = outside(link["path"], page.file.src_uri)
        if target is None:
            return link[0]
        if not (ROOT / target).exists():
            log.warning("%s: no file %s", page.file.src_uri, target)
        if config.repo_url:
            return f"[{link['label']}]({config.repo_url.rstrip('/')}/blob/main/{target})"
        return link["label"] if "`" in link["label"] else f"`{link['label']}`"

    return LINK.sub(replaced, markdown)
