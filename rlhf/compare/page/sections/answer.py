"""The answer, and the runs that are in no number."""

from __future__ import annotations

from rlhf.compare.page.section import Section, View
from rlhf.compare.text.markdown import plain


def answer(view: View) -> Section:
    name = plain(view.study.directory.name)
    picture = f"![Reward against KL for each setting of {name}](frontier.png)"
    return Section(
        key="answer",
        title="The answer",
        markdown="\n\n".join(
            [*map(plain, view.answer.paragraphs), *([picture] if view.frontiers else [])]
        ),
        values={
            "answer": view.answer,
            "total": len(view.study.runs),
            "unfinished": [(r.name, r.status, r.error or "") for r in view.study.unfinished],
        },
    )
