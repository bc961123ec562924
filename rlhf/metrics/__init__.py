"""Every metric once: its name, unit, which direction is better, how a screen writes it; and who
shows which. Knows the standard library only.

metrics.jsonl has a metric of a training iteration under its name, that of an evaluation on held-out
prompts under `eval/` and its name; summary.json has the last evaluation's under the name alone.
A standard error stands beside its metric under the name and `_se`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.metrics.further import FURTHER
from rlhf.metrics.metric import COUNT, NUMBER, PER_NAT, REWARD, SHARE, Metric
from rlhf.metrics.win_rates import EQUAL_LENGTH, WIN_RATE, WIN_RATES

SCORE = "ppo/score"
PROXY, GOLD, OBJECTIVE = "reward/proxy", "reward/gold", "objective"
DISAGREEMENT, COMBINED = "reward/disagreement", "reward/combined"
KL, TOKEN_KL = "kl/sequence_nats", "kl/token_nats"
MOVING_KL = "kl/moving_reference_nats"  # where the reference is not the policy of the start
COEF, FINAL_COEF = "kl/coef", "kl.coef_final"
POINT = "path/point"
LENGTH, ENDED, ENTROPY = "response/length", "response/ended", "policy/entropy"
SECONDS, CPU_SECONDS = "wall_seconds", "cpu_seconds"
ITERATIONS, RESPONSES, BEHIND = "iterations", "episodes", "rollout/behind"
COSTS = (ITERATIONS, CPU_SECONDS, RESPONSES)  # of a policy, all until it was there
Z95 = 1.959963984540054  # standard errors in half of a 95 % interval, where the error is known


METRICS = {
    metric.name: metric
    for metric in (
        # ppo/score - kl.coef_final * kl/sequence_nats of the last evaluation: what this run ended
        # up maximising, whatever its controller did. Another coefficient makes another
        # quantity of it: a run's own number, in no table over settings.
        Metric(
            name=OBJECTIVE,
            title="Score less the last coefficient times the KL",
            unit=REWARD,
            better="more",
        ),
        Metric(
            name=PROXY,
            title="Proxy reward: the reward model's score",
            unit=REWARD,
            better="more",
            label="proxy",
            form="+.3f",
        ),
        Metric(
            name=GOLD,
            title="Gold reward: what the task wants",
            unit=REWARD,
            better="more",
            label="gold",
            form="+.3f",
        ),
        Metric(
            name=DISAGREEMENT,
            title="Disagreement of the reward models: their standard deviation",
            unit=REWARD,
            label="disagreement",
            form=".3f",
        ),
        Metric(
            name=COMBINED,
            title="Combined reward: the sum or product that is maximised",
            unit=REWARD,
            better="more",
            label="combined",
            form="+.3f",
        ),
        Metric(
            name=SCORE,
            title="Score: what is maximised, with the rule for responses without EOS",
            unit=REWARD,
            better="more",
        ),
        *WIN_RATES,
        Metric(name=KL, title="KL to SFT", unit="nats per response", label="KL", form=".2f"),
        Metric(name=TOKEN_KL, title="KL to SFT", unit="nats per token"),
        Metric(name=COEF, title="KL coefficient", unit=PER_NAT, label="coef"),
        Metric(name=ITERATIONS, title="Iterations", unit=COUNT),
        Metric(name=RESPONSES, title="Responses drawn in training", unit=COUNT),
        Metric(name=FINAL_COEF, title="KL coefficient of the last rollout", unit=PER_NAT),
        Metric(name=POINT, title="Point of the path, from 0", unit=COUNT),
        Metric(name=LENGTH, title="Response length", unit="tokens"),
        Metric(name=ENDED, title="Share with EOS", unit=SHARE, better="more"),
        Metric(name=ENTROPY, title="Entropy", unit="nats per token"),
        Metric(
            name=BEHIND,
            title="Iterations since the policy that draws was the trained one",
            unit=COUNT,
        ),
        Metric(name=SECONDS, title="Time", unit="s", better="less"),
        Metric(name=CPU_SECONDS, title="Time of processors", unit="s", better="less"),
        Metric(
            name="train/loss", title="Loss", unit=NUMBER, better="less", label="loss", form=".4f"
        ),
        Metric(
            name="val/perplexity",
            title="Perplexity",
            unit=NUMBER,
            better="less",
            label="perplexity",
            form=".2f",
        ),
        Metric(
            name="val/accuracy",
            title="Accuracy",
            unit=SHARE,
            better="more",
            label="accuracy",
            form=".3f",
        ),
        *FURTHER,
    )
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A number on a screen or in a small chart: the first of `keys` that a record has."""

    label: str
    keys: tuple[str, ...]
    form: str = ".4g"
    transform: Callable[[float], float] = float  # in a chart
    floor: float | None = None  # a chart shows nothing below: first iterations can reach any depth


def _cell(name: str, *keys: str) -> Shown:
    metric = METRICS[name]
    return Shown(label=metric.label, keys=keys or metric.keys, form=metric.form)


def with_rewards(columns: Sequence[Shown], *records: Mapping[str, Any]) -> tuple[Shown, ...]:
    """The columns, and after those of proxy and gold one for each other reward that the records
    have, by name: a scorer's, its parts, a judge's."""
    known = {key for column in columns for key in column.keys}
    names = {key.removeprefix("eval/") for record in records for key in record}
    others = sorted(
        (key for key in names - known if key.startswith("reward/") and not key.endswith("_se")),
        key=lambda key: (key != COMBINED, key),
    )
    mine = (
        Shown(label=k.removeprefix("reward/"), keys=(k, f"eval/{k}"), form=_form(k)) for k in others
    )
    return (*columns[:2], *mine, *columns[2:])


def _form(name: str) -> str:
    return METRICS[name].form if name in METRICS else "+.3f"


def maximised(config: Mapping[str, Any]) -> list[str]:
    """The rewards that a run maximises beside proxy and gold, the whole before its parts.

    Args:
        config: its config with dotted keys, pieces by name (`scorer`: vader).
    """
    scorer = str(config.get("scorer", ""))
    names = [key.split(".")[2] for key in config if key.startswith("scorer.parts.")]
    if scorer == "combined":
        return [COMBINED, *(f"reward/{name}" for name in dict.fromkeys(names))]
    own = config.get("scorer.metric") or str(config.get("scorer.function", "")).rpartition(".")[2]
    named = own or scorer
    return [] if named in ("", "reward_model", "gold", "ensemble") else [f"reward/{named}"]


PROGRESS = (  # the line of a stage while it trains
    *map(_cell, (PROXY, GOLD, KL, COEF, "train/loss", "val/perplexity", "val/accuracy")),
)
LIVE = tuple(map(_cell, (PROXY, GOLD, KL, COEF)))  # a sweep's jobs


def cells(record: Mapping[str, Any], columns: Sequence[Shown]) -> dict[str, str]:
    """Label -> the number as text, "" where the record has none."""
    values = {c: next((record[key] for key in c.keys if key in record), None) for c in columns}
    return {
        c.label: format(value, c.form)
        if isinstance(value, (int, float))
        else str("" if value is None else value)
        for c, value in values.items()
    }


# the table at the end of a run: names of summary.json, by how they begin
END_OF_RUN = (
    *(OBJECTIVE, "reward/", "sft/", WIN_RATE, "kl.coef", KL, "kl/plain/sequence_nats"),
    *("response/", "policy/", "val/", "reward_model/", SECONDS),
)
# what a comparison averages over seeds, beside the rewards
AVERAGED = (
    SCORE,
    WIN_RATE,
    EQUAL_LENGTH,
    KL,
    TOKEN_KL,
    FINAL_COEF,
    LENGTH,
    ENDED,
    ENTROPY,
    SECONDS,
    *COSTS,
)
# the first columns of runs.csv after those of the config
RUN_COLUMNS = (
    *(SCORE, PROXY, f"{PROXY}_se", GOLD, f"{GOLD}_se"),
    *(KL, f"{KL}_se", TOKEN_KL, LENGTH, ENDED, ENTROPY),
    *COSTS,
)
# MLflow: lines by iteration below the rewards; the metric that its page opens on, the first that a
# run logged; results without a `/` in their name
MLFLOW_LINES = (f"eval/{KL}", COEF, f"eval/{LENGTH}", f"eval/{ENTROPY}")
MLFLOW_FIRST = (f"eval/{GOLD}", f"eval/{PROXY}", f"eval/{SCORE}", "val/loss")
MLFLOW_RESULTS = (OBJECTIVE, WIN_RATE, FINAL_COEF, SECONDS, CPU_SECONDS)


def _chart(name: str, floor: float | None = None) -> Shown:
    return Shown(label=METRICS[name].heading, keys=METRICS[name].keys, floor=floor)


VITALS = (  # the signs of a run's health, by iteration
    _chart(ENTROPY),
    _chart(LENGTH),
    Shown(label="Share without EOS", keys=METRICS[ENDED].keys, transform=lambda x: 1.0 - x),
    _chart("ppo/clip_fraction"),
    _chart("ppo/explained_variance", floor=-1.0),
    _chart("ppo/log_ratio_max"),
)
