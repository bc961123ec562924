"""The look of a chart, on a page and in a picture: colours, font, axes, legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures.style import LIGHT, OTHER, Styles, readable

if TYPE_CHECKING:
    import altair as alt

MOST_NAMED = 14  # settings in the legend of a picture
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
# no setting was chosen in the legend, or this one was
CHOSEN = "!length(chosen) || indexof(chosen, datum.setting) >= 0"


@dataclass(frozen=True, kw_only=True)
class Look:
    """The colours and the font of a chart, and the styles of the settings."""

    styles: Styles
    page: bool  # charts that take clicks, beside a legend of the page's own
    ink: str
    muted: str
    grid: str
    paper: str
    alarm: str
    font: str
    legend: str = ""  # its title; none without one

    def scale(self, which: int) -> alt.Scale:
        """From a setting's label to its colour (0) or its shape (1)."""
        import altair as alt

        looks = [*self.styles.values(), (self.muted, next(iter(self.styles.values()))[1])]
        return alt.Scale(domain=[*self.styles, OTHER], range=[look[which] for look in looks])

    def encode(self) -> dict[str, Any]:
        """The channels that tell the settings apart."""
        import altair as alt

        shown = None
        if self.legend:
            values: Any = some(list(self.styles), MOST_NAMED)
            left = len(self.styles) - len(values)
            title = f"{self.legend} ({len(values)} of {len(self.styles)})" if left else self.legend
            shown = alt.Legend(title=title, values=values, symbolOpacity=1)
        return {
            "color": alt.Color("setting:N", scale=self.scale(0), legend=shown),
            "shape": alt.Shape("setting:N", scale=self.scale(1), legend=shown),
        }

    def opacity(self, value: float) -> Any:
        """`value`; on a page next to nothing for settings that were not chosen in its legend."""
        import altair as alt

        if not self.page:
            return alt.value(value)
        return alt.condition(CHOSEN, alt.value(value), alt.value(0.05))


def some(names: list[str], most: int) -> list[str]:
    """At most `most` of the names, evenly chosen, the first and the last among them."""
    if len(names) <= most:
        return names
    return [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]


def page_look(styles: Styles) -> Look:
    """Colours are the page's variables: they follow its theme without being drawn again."""
    themed = {
        label: (f"var(--c{i})", shape) for i, (label, (_, shape)) in enumerate(styles.items())
    }
    names = {name: f"var(--{name})" for name in ("ink", "muted", "grid", "paper", "alarm")}
    return Look(styles=themed, page=True, font=FONT, **names)


def picture_look(styles: Styles, legend: str = "") -> Look:
    """Colours for a white background."""
    themed = {label: (readable(c, LIGHT), shape) for label, (c, shape) in styles.items()}
    return Look(
        styles=themed,
        page=False,
        ink="#222222",
        muted="#5a6269",
        grid="#e3e6e8",
        paper=LIGHT,
        alarm="#b3400a",
        font="DejaVu Sans, sans-serif",
        legend=legend,
    )


def config(look: Look) -> dict[str, Any]:
    small = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    return {
        "font": look.font,
        "background": None if look.page else look.paper,
        "view": {"stroke": None},
        "padding": 4,
        "axis": {
            **small,
            "labelColor": look.ink,
            "titleColor": look.ink,
            "gridColor": look.grid,
            "domainColor": look.muted,
            "tickColor": look.muted,
            "tickSize": 4,
            "labelPadding": 4,
            "titlePadding": 8,
        },
        "axisX": {"grid": False, "tickCount": 6, "labelFlush": False},
        # the name of what goes up stands over the chart, not sideways
        "axisY": {
            "domain": False,
            "ticks": False,
            "tickCount": 5,
            "titleAngle": 0,
            "titleAlign": "left",
            "titleAnchor": "end",
            "titleX": 0,
            "titleY": -10,
        },
        "legend": {**small, "labelColor": look.ink, "titleColor": look.ink, "labelLimit": 320},
        "title": {"color": look.ink, "anchor": "start", "fontSize": 13, "offset": 8},
    }
