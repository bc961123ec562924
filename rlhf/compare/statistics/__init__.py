"""From values to estimates, intervals and findings. Pure functions; nothing is drawn or written
here."""

from rlhf.compare.read.differing import ABSENT
from rlhf.compare.statistics.along_kl.matched import BUDGETS, Cell, Matched, Nearer, Standing
from rlhf.compare.statistics.along_kl.overoptimisation import (
    FORMULAS,
    Fit,
    fit,
    gap_path,
    gold_gains,
)
from rlhf.compare.statistics.estimates import (
    BORROWED,
    EVALUATION,
    LIKE,
    SEEDS,
    THESE,
    Interval,
    brief,
    interval,
    say,
)
from rlhf.compare.statistics.findings import Findings
from rlhf.compare.statistics.health import RULES, Sickness
from rlhf.compare.statistics.intervals import (
    evaluated,
    gain,
    level_interval,
    run_interval,
    setting_interval,
    sft_interval,
)
from rlhf.compare.statistics.means import Estimate, single
from rlhf.compare.statistics.rivals import Rival, rival
from rlhf.compare.statistics.settings import Setting, ending, label_of, order
from rlhf.compare.statistics.step_response import (
    BAND,
    RISEN,
    Response,
    Steering,
)
from rlhf.compare.statistics.study import Exact, Study
from rlhf.compare.statistics.verdict import Claim

__all__ = [
    "ABSENT",
    "BAND",
    "BORROWED",
    "BUDGETS",
    "Cell",
    "Claim",
    "EVALUATION",
    "Estimate",
    "Exact",
    "FORMULAS",
    "Findings",
    "Fit",
    "Interval",
    "LIKE",
    "Matched",
    "Nearer",
    "RISEN",
    "RULES",
    "Response",
    "Rival",
    "SEEDS",
    "Setting",
    "Sickness",
    "Standing",
    "Steering",
    "Study",
    "THESE",
    "brief",
    "ending",
    "evaluated",
    "fit",
    "gain",
    "gap_path",
    "gold_gains",
    "interval",
    "label_of",
    "level_interval",
    "order",
    "rival",
    "run_interval",
    "say",
    "setting_interval",
    "sft_interval",
    "single",
]
