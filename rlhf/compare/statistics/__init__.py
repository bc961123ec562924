"""From values to estimates, intervals and findings. Pure functions; nothing is drawn or written
here."""

from rlhf.compare.statistics.estimates import (
    BOTH,
    EVALUATION,
    NOTHING,
    SEEDS,
    Estimate,
    Interval,
    gap,
    interval,
    say,
    show,
    single,
)
from rlhf.compare.statistics.findings import CLEAR, Findings
from rlhf.compare.statistics.health import RULES, Sickness
from rlhf.compare.statistics.matched import BUDGETS, Cell
from rlhf.compare.statistics.overoptimisation import FORMULAS, Fit, fit, gap_path, gold_gains
from rlhf.compare.statistics.rivals import Rival, better_before, rival
from rlhf.compare.statistics.settings import (
    ABSENT,
    Setting,
    column,
    label_of,
    order,
    setting_interval,
)
from rlhf.compare.statistics.step_response import (
    BAND,
    RISEN,
    Response,
    Series,
    Steering,
)
from rlhf.compare.statistics.study import Exact, Study

__all__ = [
    "ABSENT",
    "BAND",
    "BOTH",
    "BUDGETS",
    "CLEAR",
    "Cell",
    "EVALUATION",
    "Estimate",
    "Exact",
    "FORMULAS",
    "Findings",
    "Fit",
    "Interval",
    "NOTHING",
    "RISEN",
    "RULES",
    "Response",
    "Rival",
    "SEEDS",
    "Series",
    "Setting",
    "Sickness",
    "Steering",
    "Study",
    "better_before",
    "column",
    "fit",
    "gap",
    "gap_path",
    "gold_gains",
    "interval",
    "label_of",
    "order",
    "rival",
    "say",
    "setting_interval",
    "show",
    "single",
]
