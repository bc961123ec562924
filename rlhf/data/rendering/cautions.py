"""What a run's template does that its user should know of. No torch here."""

from __future__ import annotations

from rlhf.data.rendering.rendering import Rendering


def caution(rendering: Rendering) -> str:
    """A sentence where responses are drawn after other tokens than answers are trained after, or
    nothing: a generation prompt may open a block of thoughts that the answers of a conversation do
    not have, or end in a line break that the tokenizer joins to others."""
    question, answer = rendering.probe
    answers = [answer]
    if rendering.opening:  # without, an answer's first word may go on in the question's last
        answers.append(answer._replace(content=answer.content.strip()))
    asked = rendering.prompt((question,))
    for whole in rendering.conversations([(question, each) for each in answers]):
        before = whole.ids[: whole.answers[-1][0]]
        if before != asked:
            return _words(rendering, asked, before)
    return ""


def _words(rendering: Rendering, asked: list[int], before: list[int]) -> str:
    shared = _shared(asked, before)
    drawn, trained = (rendering.tokenizer.decode(ids[shared:]) for ids in (asked, before))
    return (
        f"data.template={rendering.template.name}: its generation prompt ends with {drawn!r} where"
        f" the conversations that it writes have {trained!r}, so responses are drawn after other"
        " tokens than answers are trained after; a template of your own (data.template=my.jinja)"
        " can make them one"
    )


def _shared(one: list[int], other: list[int]) -> int:
    """The length of the beginning that both have."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
