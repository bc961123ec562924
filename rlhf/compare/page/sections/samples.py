"""The same prompts under SFT and under each setting."""

from __future__ import annotations

from rlhf.compare.page.samples import side_by_side
from rlhf.compare.page.section import Section, View


def samples(view: View) -> Section:
    shown = side_by_side(view.study)
    return Section(
        key="samples",
        title="Samples side by side",
        short="Samples",
        values={"samples": shown, "shaded": any(r.tokens for s in shown for r in s.responses)},
    )
