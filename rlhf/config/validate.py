"""Every fault of a config at once: missing values, types, ranges, unknown keys, then pairs that
cannot work together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError

from rlhf.config import pieces
from rlhf.config.allow import refusal, targets
from rlhf.config.build import is_allowed
from rlhf.config.describe import fault
from rlhf.config.resolve import Fault, resolve
from rlhf.config.schema import KL, PPO, Config, Generation
from rlhf.kl import rules
from rlhf.kl.cautions import cautions as sampling_cautions


class ConfigError(ValueError):
    """The config is wrong. `faults` has one line for each reason."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


def examine(
    config: DictConfig | Mapping[str, Any], doubted: Collection[str] = ()
) -> tuple[Config | None, list[Fault]]:
    """The typed config, or None and all its faults. `doubted`: sections whose pairs are not
    judged, as something else is wrong there."""
    plain, faults = resolve(
        config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    )
    typed = None
    try:
        typed = Config.model_validate(plain)
    except ValidationError as error:
        known = {found.key for found in faults}
        faults += [
            found
            for found in (fault(detail, plain) for detail in error.errors())
            if found.key not in known
        ]
    reported = {found.key for found in faults}
    for path, target in targets(plain):
        where = ".".join((*path, "_target_"))
        if not is_allowed(target) and not any(where.startswith(key) for key in reported):
            faults.append(Fault(f"{where}={target}", refusal(target)))
    wrong = {found.key.partition(".")[0] for found in faults} | set(doubted)
    for check, sections in PAIRS:
        if wrong.isdisjoint(sections):
            faults += check(
                **{
                    name: (
                        getattr(typed, name)
                        if typed
                        else _section(name).validate_python(plain[name])
                    )
                    for name in sections
                }
            )
    return (typed if not faults else None), faults


@cache
def _section(name: str) -> TypeAdapter[Any]:
    """One section alone, to judge it where another is wrong."""
    found = Config.model_fields[name]
    annotation: Any = (
        Annotated[found.annotation, *found.metadata] if found.metadata else found.annotation
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
    """Which of a run's numbers need care although nothing is wrong with its config: a sentence
    for each reason."""
    drawn = cfg.generation
    return (
        sampling_cautions(temperature=drawn.temperature, top_k=drawn.top_k, top_p=drawn.top_p)
        if cfg.stage == "ppo"
        else []
    )


def _kl(kl: KL, generation: Generation) -> Iterator[Fault]:
    def last(piece: Any) -> str:
        return str(piece.class_path).rpartition(".")[2]

    bounds = None
    if isinstance(kl.controller, (pieces.PID, pieces.Dual)):
        bounds = (kl.controller.min_coef, kl.controller.max_coef)
        if bounds[0] > bounds[1]:
            yield Fault(
                f"kl.controller.min_coef={bounds[0]}",
                f"is above kl.controller.max_coef={bounds[1]}",
            )
            bounds = None
    for reason in rules.faults(
        estimator=last(kl.estimator),
        placement=last(kl.placement),
        controller=last(kl.controller),
        reference=last(kl.reference),
        coef=kl.coef,
        top_k=generation.top_k,
        top_p=generation.top_p,
        temperature=generation.temperature,
        bounds=bounds,
    ):
        yield Fault("", reason)


def _split(small: str, part: int, large: str, whole: int) -> Iterator[Fault]:
    if whole % part:
        below = max(n for n in range(1, whole + 1) if whole % n == 0 and n <= part)
        yield Fault(f"{small}={part}", f"does not divide {large}={whole}; {below} does")


def _batches(ppo: PPO) -> Iterator[Fault]:
    yield from _split(
        "ppo.minibatch_size", ppo.minibatch_size, "ppo.rollout_size", ppo.rollout_size
    )
    if ppo.micro_batch_size is not None:
        yield from _split(
            "ppo.micro_batch_size", ppo.micro_batch_size, "ppo.minibatch_size", ppo.minibatch_size
        )
    if ppo.critic_warmup >= ppo.iterations:
        yield Fault(
            f"ppo.critic_warmup={ppo.critic_warmup}",
            f"leaves none of ppo.iterations={ppo.iterations} to train the policy",
        )
    if ppo.missing_eos != "none" and ppo.missing_eos_value is None:
        yield Fault(
            "ppo.missing_eos_value=null", f"ppo.missing_eos={ppo.missing_eos} needs a number"
        )


def _model(model: Any) -> Iterator[Fault]:
    if not isinstance(model, pieces.TinyModel):
        return
    if model.hidden_size % model.heads:
        yield Fault(
            f"model.heads={model.heads}", f"does not divide model.hidden_size={model.hidden_size}"
        )
    elif model.architecture == "llama" and (model.hidden_size // model.heads) % 2:
        yield Fault(
            f"model.heads={model.heads}",
            f"a llama head needs an even size; here it is {model.hidden_size // model.heads}",
        )


def _rewards(data: Any, scorer: Any, stage: str, ppo: PPO) -> Iterator[Fault]:
    if not isinstance(data, pieces.JsonLines) or data.gold is not None:
        return
    by_gold = str(scorer.class_path).endswith(".GoldScorer")
    if stage == "ppo" and by_gold:
        yield Fault(
            "scorer=gold",
            "the data has no gold reward; set data.gold=vader, or take scorer=reward_model",
        )
    needs_model = stage == "reward_model" or not by_gold or ppo.value_init == "reward_model"
    if stage != "sft" and needs_model and data.preferences is None:
        yield Fault(
            "data.preferences=null",
            "pairs would be sampled and labelled by gold, but data.gold=null; name a file, or set"
            " data.gold=vader",
        )


def _tracking(tracking: Any) -> Iterator[Fault]:
    if isinstance(tracking, pieces.MLflowTracker):
        from rlhf.tracking.store import absolute_uri

        try:
            absolute_uri(tracking.uri)
        except ValueError as error:
            yield Fault("", str(error))


# Each check with the sections that it reads.
PAIRS: tuple[tuple[Callable[..., Iterator[Fault]], tuple[str, ...]], ...] = (
    (_kl, ("kl", "generation")),
    (_batches, ("ppo",)),
    (_model, ("model",)),
    (_rewards, ("data", "scorer", "stage", "ppo")),
    (_tracking, ("tracking",)),
)
