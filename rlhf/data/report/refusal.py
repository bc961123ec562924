"""Why a run is refused that would lose too much of its data to its limits."""

from __future__ import annotations

from rlhf.data.report.values import Limited, Report


def refusals(report: Report, *, new_tokens: int) -> list[str]:
    """A sentence for each stage that would lose a larger share of its rows than data.max_lost.

    Args:
        new_tokens: of a response, which shares the model's positions with its prompt.
    """
    return [
        _sentence(limited, report, new_tokens)
        for limited in report.limits
        if limited.share > report.max_lost and limited.rule != "error"
    ]


def _sentence(limited: Limited, report: Report, new_tokens: int) -> str:
    tokens, part = limited.tokens, next(p for p in report.parts if p.name == limited.part)
    assert tokens is not None
    fates = {
        "lose the end of an answer": limited.cut,
        "lose the beginning of their prompt": limited.truncated,
        "are left out": limited.dropped,
    }
    what = ", ".join(f"{count:,} {fate}" for fate, count in fates.items() if count)
    same = f" ({limited.same:,} as both sides are the same after the cut)" if limited.same else ""
    seen = "" if part.measured == part.all else f" (evenly spaced among {part.all:,})"
    return (
        f"{limited.stage}: {limited.share:.1%} of its {limited.part} do not fit {limited.bound}"
        f" (allowed: data.max_lost={report.max_lost:g}): of {limited.rows:,} rows{seen}"
        f" {what}{same}. Their tokens: median {tokens.median:,}, 95 % at most {tokens.p95:,},"
        f" longest {tokens.most:,}. {_remedy(limited, report, new_tokens)}; or allow it:"
        " data.max_lost=1"
    )


def _remedy(limited: Limited, report: Report, new_tokens: int) -> str:
    """Which setting to change, and to what."""
    setting, room = limited.bound.partition("=")[0], report.positions
    if limited.part == "prompts":
        if not limited.bound.startswith("generation."):
            return _fewer_new_tokens(limited, report, new_tokens)
        setting = "generation.max_prompt_tokens"
        room = None if report.positions is None else report.positions - new_tokens
    most = limited.tokens.most if limited.tokens else 0
    if room is not None and limited.enough > room:
        return f"Set {setting}={room}: {limited.enough:,} would do, but the model reads no more"
    every = most if room is None else min(most, room)
    # a round number has some room: a run looks at fewer rows than `rlhf data`
    enough = min(-(-limited.enough // 16) * 16, every)
    more = f" ({every} for {'every row' if every == most else 'all that the model reads'})"
    return f"Set {setting}={enough}{more if every > enough else ''}"


def _fewer_new_tokens(limited: Limited, report: Report, new_tokens: int) -> str:
    left = (limited.limit or 0) + new_tokens - limited.enough
    if left < 1:
        return f"Take a model that reads more than {report.positions} tokens"
    return f"Set generation.max_new_tokens={left}, or take a model that reads more"
