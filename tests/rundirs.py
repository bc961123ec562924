"""Writes run directories as the pipeline leaves them."""

import json
from pathlib import Path
from typing import Any

SFT = {"proxy": 0.0, "gold": 1.0, "judge": 0.5}


def line(iteration: int, **values: Any) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "episodes": iteration * 8,
        **{key.replace("__", "/"): value for key, value in values.items()},
    }


def append(path: Path, *rows: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def make_run(
    directory: Path,
    *,
    coef: float = 0.05,
    seed: int = 0,
    controller: str = "Fixed",
    proxy: Any = 1.0,
    gold: Any = 1.5,
    kl: Any = 4.0,
    se: float = 0.1,
    state: str = "finished",
    iterations: int = 3,
    peak: float | None = None,
    config: dict[str, Any] | None = None,
    tracking: dict[str, Any] | None = None,
) -> Path:
    """A run whose reward and KL go in straight lines from SFT to the given ends; `peak` lifts
    the middle of gold."""
    directory.mkdir(parents=True)
    node: dict[str, Any] = {"_target_": f"rlhf.kl.controller.{controller}"}
    if controller == "Adaptive":
        node["target"] = 6.0
    whole = {
        "seed": seed,
        "study": "unit",
        "kl": {"coef": coef, "controller": node},
        "ppo": {"iterations": iterations},
        "paths": {"run_dir": directory.name},
        "tracking": tracking or {"_target_": "rlhf.tracking.base.NoTracker"},
        **(config or {}),
    }
    write(directory / "config.yaml", whole)  # JSON is YAML
    metrics, timings = [], []
    for i in range(iterations + 1):
        share = i / iterations
        row = line(
            i,
            eval__kl__sequence_nats=_between(0.0, kl, share),
            eval__kl__sequence_nats_se=0.1 * share,
        )
        row["eval/reward/proxy"], row["eval/reward/proxy_se"] = (
            _between(SFT["proxy"], proxy, share),
            se,
        )
        if gold is not None:
            row["eval/reward/gold"], row["eval/reward/gold_se"] = (
                _between(SFT["gold"], gold, share),
                se,
            )
            if peak is not None and 0 < i < iterations:
                row["eval/reward/gold"] = peak
        metrics.append(row)
        timings.append({"iteration": i, "time": 1_700_000_000 + i, "seconds": 1.0})
    append(directory / "metrics.jsonl", *metrics)
    append(directory / "timings.jsonl", *timings)
    error = {"failed": "ValueError: the reward became nan", "finished": None}.get(state)
    write(
        directory / "status.json",
        {
            "state": state,
            "pid": 2**22 + 1,
            "stage": "ppo",
            "iteration": iterations,
            "time": 1_700_000_099,
            "error": error,
        },
    )
    write(
        directory / "manifest.json",
        {
            "kind": "run",
            "stage": "ppo",
            "name": directory.name,
            "git": {"revision": "abc", "dirty": True},
        },
    )
    if state == "finished":
        write(
            directory / "summary.json",
            summary(directory.name, coef, seed, controller, proxy, gold, kl, se),
        )
    else:
        (directory / "log.txt").write_text("Traceback\n")
    return directory


def summary(
    name: str, coef: float, seed: int, controller: str, proxy: Any, gold: Any, kl: Any, se: float
) -> dict[str, Any]:
    snake = {"Fixed": "fixed", "Adaptive": "adaptive"}[controller]
    row: dict[str, Any] = {
        "status": "finished",
        "name": name,
        "study": "unit",
        "sweep": "unit",
        "stage": "ppo",
        "seed": seed,
    }
    row |= {
        "kl.coef": coef,
        "kl.coef_final": coef,
        "kl.controller": snake,
        "objective": 0.5,
        "wall_seconds": 12.5,
        "config_hash": "abcd1234",
    }
    row |= {
        "reward/proxy": proxy,
        "reward/proxy_se": se,
        "sft/reward/proxy": SFT["proxy"],
        "sft/reward/proxy_se": se,
    }
    row |= {
        "kl/sequence_nats": kl,
        "kl/sequence_nats_se": 0.1,
        "response/length": 12.0,
        "response/ended": 1.0,
        "policy/entropy": 1.0,
    }
    if gold is not None:
        row |= {
            "reward/gold": gold,
            "reward/gold_se": se,
            "sft/reward/gold": SFT["gold"],
            "sft/reward/gold_se": se,
        }
    row["fingerprints"] = {"data": "d" * 8, "sft": "s" * 8, "reward_model": "r" * 8}
    return row


def _between(start: float, end: Any, share: float) -> Any:
    return start + (end - start) * share if isinstance(end, (int, float)) else end
