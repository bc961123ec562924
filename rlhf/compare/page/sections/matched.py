"""Rewards at matched KL."""

from __future__ import annotations

from rlhf.compare.page.section import Section, View
from rlhf.compare.statistics.matched import BUDGETS
from rlhf.compare.text import matched as matched_text


def matched(view: View) -> Section:
    findings, tables = view.study.findings, view.study.matched
    return Section(
        key="matched",
        title="At matched KL",
        short="At matched KL",
        markdown=matched_text.markdown(view.study),
        values={
            "budgets": BUDGETS,
            # the reward that decides comes first
            "matched": sorted(tables, key=lambda m: findings is None or m.key != findings.key),
            "shortened": any(c.short for m in tables for _, cells in m.rows for c in cells),
        },
    )
