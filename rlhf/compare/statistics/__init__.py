"""From values to estimates, intervals and findings. Pure functions; nothing is drawn or written
here."""

from rlhf.compare.statistics.estimates import Estimate, gap, show, single
from rlhf.compare.statistics.exact import Exact
from rlhf.compare.statistics.findings import CLEAR, Findings
from rlhf.compare.statistics.health import RULES, Sickness
from rlhf.compare.statistics.intervals import (
    BOTH,
    EVALUATION,
    SEEDS,
    Interval,
    interval,
    say,
)
from rlhf.compare.statistics.matched import BUDGETS, Cell
from rlhf.compare.statistics.overoptimisation import FORMULAS, Fit, fit, gap_path, gold_gains
from rlhf.compare.statistics.rivals import Rival, better_before, rival
from rlhf.compare.statistics.settings import ABSENT, Setting, column, order, setting_interval
from rlhf.compare.statistics.step_response import (
    BAND,
    RISEN,
    Response,
    Series,
    Steering,
)
from rlhf.compare.statistics.study import Study

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
    "order",
    "rival",
    "say",
    "setting_interval",
    "show",
    "single",
]
