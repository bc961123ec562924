"""Every fault of a config at once: missing values, types, ranges, unknown keys, then pairs that
cannot work together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError

from rlhf.config.allow import refusal, targets
from rlhf.config.build import is_allowed
from rlhf.config.checks.path import path_cautions
from rlhf.config.checks.unused import unused_cautions
from rlhf.config.composition.resolve import Fault, resolve
from rlhf.config.hints.usual import wrecking_rates
from rlhf.config.messages import fault
from rlhf.config.pairs import PAIRS, Check
from rlhf.config.pieces.model import HFModel, TinyModel
from rlhf.config.pieces.optimizer import AnyAdam
from rlhf.config.pieces.trained import ADAPTER
from rlhf.config.properties import is_trained, needed_stages
from rlhf.config.schema import Config
from rlhf.config.stages import Stage
from rlhf.kl.rules import cautions as sampling_cautions
from rlhf.rundir.secrets.redact import HIDDEN, remember, secrets_in

Judged = dict[tuple[Any, ...], list[Fault]]


class ConfigError(ValueError):
    """The config is wrong. `faults` has one line for each reason."""

    exit_code = 2

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


def examine(
    config: DictConfig | Mapping[str, Any],
    doubted: Collection[str] = (),
    *,
    settled: Mapping[str, Any] | None = None,
    judged: Judged | None = None,
) -> tuple[Config | None, list[Fault]]:
    """The typed config, or None and all its faults.

    Args:
        doubted: sections whose pairs are not judged, as something else is wrong there.
        settled: plain values of sections that are known already.
        judged: what checks of pairs gave, kept over several calls.
    """
    plain, faults = resolve(
        config if isinstance(config, DictConfig) else OmegaConf.create(dict(config)),
        settled=settled,
    )
    faults += hidden_faults(plain)
    for _, secret in secrets_in(plain):
        remember(secret)
    typed = None
    try:
        typed = Config.model_validate(plain)
    except ValidationError as error:
        known = {each.key for each in faults}
        described = (fault(detail, plain) for detail in error.errors())
        faults += [each for each in described if each.key not in known]
    reported = {each.key for each in faults}
    for path, target in targets(plain):
        where = ".".join((*path, "_target_"))
        if not is_allowed(target) and not any(where.startswith(key) for key in reported):
            faults.append(Fault(f"{where}={target}", refusal(target)))
    wrong = {each.key.partition(".")[0] for each in faults} | set(doubted)
    for check, names in PAIRS:
        if wrong.isdisjoint(names):
            values = (getattr(typed, name) if typed else _section_of(plain, name) for name in names)
            faults += _judge(check, dict(zip(names, values, strict=True)), judged)
    return (typed if not faults else None), faults


def _judge(check: Check, sections: dict[str, Any], judged: Judged | None) -> Sequence[Fault]:
    """What the check says of these sections; asked once for sections that are the same."""
    if judged is None:
        return [*check(**sections)]
    key = (check, *sections.values())
    try:
        if key not in judged:
            judged[key] = [*check(**sections)]
        return judged[key]
    except TypeError:  # a piece of the user's own has a list in it
        return [*check(**sections)]


def hidden_faults(plain: Mapping[str, Any]) -> list[Fault]:
    """A kept config has `***` where a secret was given as text."""
    return [
        Fault(
            key,
            "was given as text and is not written down: put ${oc.env:NAME} there, and NAME=... in"
            " the environment",
        )
        for key, secret in secrets_in(plain)
        if secret == HIDDEN and not key.startswith("tracking.")
    ]


def _section_of(plain: Mapping[str, Any], name: str) -> Any:
    """A section's typed value; its default where a config of before does not have it."""
    if name not in plain and not Config.model_fields[name].is_required():
        return Config.model_fields[name].default
    return _section(name).validate_python(plain[name])


@cache
def _section(name: str) -> TypeAdapter[Any]:
    """One section alone, to judge it where another is wrong."""
    field = Config.model_fields[name]
    annotation: Any = (
        Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    )
    return TypeAdapter(annotation)


def validate(config: DictConfig | Mapping[str, Any]) -> Config:
    """The typed config.

    Raises:
        ConfigError: with every fault.
    """
    typed, faults = examine(config)
    if typed is None:
        raise ConfigError(map(str, faults))
    return typed


def cautions(cfg: Config) -> list[str]:
    """A sentence for each reason why some of a run's numbers need care although nothing is wrong
    with its config."""
    drawn, sentences = cfg.generation, []
    if cfg.stage == "ppo":
        sentences += sampling_cautions(
            temperature=drawn.temperature, top_k=drawn.top_k, top_p=drawn.top_p
        )
        sentences += path_cautions(cfg.kl, cfg.ppo)
        sentences += unused_cautions(cfg)
    if isinstance(cfg.model, HFModel):
        stages = [s.name for s in needed_stages(cfg) if _may_wreck(cfg, s)]
        pieces = {name: getattr(cfg, name).optimizer for name in stages}
        rates = {f"{k}.optimizer.lr": p.lr for k, p in pieces.items() if isinstance(p, AnyAdam)}
        sentences += wrecking_rates(rates)
    adapts = is_trained(cfg, "sft") and cfg.sft.trained == ADAPTER
    if isinstance(cfg.model, TinyModel) and adapts:
        sentences.append(
            "sft.trained=adapter: model=tiny begins with random weights, beside which an adapter"
            " learns little; sft.trained=all trains them first"
        )
    return sentences


def _may_wreck(cfg: Config, stage: Stage) -> bool:
    """True of a stage that moves the model's own weights: a new head or adapter has nothing to
    lose."""
    if stage.is_run:
        return not cfg.adapter.is_used
    return is_trained(cfg, stage.name) and getattr(cfg, stage.name).trained not in ("head", ADAPTER)
