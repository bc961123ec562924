"""How good each estimate of the KL is along a run on an enumerable problem: bias, spread, coverage
of its 95 % interval, and cost.

    python benchmarks/estimators.py sweeps/oracle/<run> ...

Trains each run's PPO stage once more, in a temporary directory, and stops at each evaluation: the
policy of the moment and the reference are read on every response there is, so the KL is known
exactly, and so are the expectation and the spread of each estimate. Its interval is judged by
drawing the responses of an evaluation again and again from the policy's own probabilities.
`--policy` takes the runs' final policies instead, without training. Prints Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from torch import Tensor

from rlhf.config.build import build
from rlhf.config.validate import validate
from rlhf.functional import kl
from rlhf.functional.logprobs import token_logp
from rlhf.functional.masking import masked_sum
from rlhf.models.load import load_causal_lm
from rlhf.modules.exact import ExactView
from rlhf.modules.online import CollectedMinibatches, OnlineModule
from rlhf.oracle import exact_sequence_kl
from rlhf.oracle.calibration import calibrate_mean, calibrate_ratio, draw
from rlhf.stages.context import StageContext
from rlhf.stages.ppo import ppo_module
from rlhf.stages.table import artifacts, fingerprints
from rlhf.tracking.base import NoTracker

SAMPLED = {"k1": kl.k1, "k3": kl.k3, "k2": kl.k2, "abs": kl.absolute, "k1_clamped": kl.k1_clamped}
HEAD = (
    "| run | iteration | KL | estimate | bias | std | its own se | coverage | nats a token: bias |"
    " coverage |\n" + "|---" * 10 + "|"
)


def report(module: OnlineModule, args: argparse.Namespace) -> list[str]:
    """One row for each estimate, made of `args.responses` responses to the prompts of training in
    turns.

    None while policy and reference are the same.
    """
    view = ExactView(module, module.parts.prompts.training())
    scored, mask = module.score(view.rollout), view.rollout.mask
    d = (scored.logp.double(), scored.ref_logp.double())
    logp, ref_logp = (view.by_prompt(masked_sum(x, mask, dim=1)) for x in d)
    lengths = view.by_prompt(mask.sum(dim=1))
    truth = float(exact_sequence_kl(logp, ref_logp).mean())
    if truth < 1e-6:  # the policy has not moved yet: every estimate is 0
        return []
    per_token = truth / float((logp.exp() * lengths).sum(dim=1).mean())
    prompts = len(view.prompts)
    n = -(-args.responses // prompts) * prompts  # the same number for each prompt
    drawn = draw(logp, n, args.repeats, torch.Generator().manual_seed(args.seed))
    rows = []
    for name, tokens in {
        "k1": kl.k1(*d),
        "exact": scored.exact_kl.double(),
        **{k: f(*d) for k, f in SAMPLED.items() if k != "k1"},
    }.items():
        values = view.by_prompt(masked_sum(tokens, mask, dim=1))
        mean, ratio = (
            calibrate_mean(values, logp, truth, *drawn),
            calibrate_ratio(values, lengths, per_token, *drawn),
        )
        rows.append(
            f"| {module.iteration} | {truth:.3f} | {name} | {mean.bias:+.4f} | {mean.std:.4f} |"
            f" {mean.se:.4f} | {mean.coverage:.1%} | {ratio.bias:+.4f} | {ratio.coverage:.1%} |"
        )
    return rows


def costs(vocabulary: int, rows: int, length: int = 16) -> list[str]:
    """Time from both models' logits [rows, length, vocabulary] to each estimate, k1 = 1; the
    best of five."""
    draws = torch.Generator().manual_seed(0)
    policy, reference = (torch.randn(rows, length, vocabulary, generator=draws) for _ in range(2))
    tokens = torch.randint(vocabulary, (rows, length), generator=draws)

    def timed(work: Callable[[], Tensor]) -> float:
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - start)
        return best

    def sampled(estimate: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], Tensor]:
        return lambda: estimate(token_logp(policy, tokens), token_logp(reference, tokens))

    base = timed(sampled(kl.k1))
    times = {name: timed(sampled(estimate)) / base for name, estimate in SAMPLED.items()}
    times["exact"] = timed(lambda: kl.exact(policy, reference)) / base
    return [f"| {vocabulary} | {' | '.join(f'{times[name]:.2f}' for name in times)} |"]


def of_run(directory: Path, args: argparse.Namespace) -> list[str]:
    """The rows of one run, with its name before them."""
    cfg = validate(yaml.safe_load((directory / "config.yaml").read_text()))
    source = build(cfg.data)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        context = StageContext(
            cfg=cfg.model_copy(update={"callbacks": {}}),
            source=source,
            data=source.load(),
            run_directory=work,
        )
        module = ppo_module(context, artifacts(context, fingerprints(context))["sft"], None)
        rows: list[str] = []
        if args.policy:
            module.policy = load_causal_lm(directory / "policy").eval()
            module.iteration = cfg.ppo.iterations
            rows = report(module, args)
        else:
            evaluation = replace(module.settings.evaluation, every=args.every)
            module.settings = replace(module.settings, evaluation=evaluation)

            def measure() -> dict[str, float]:
                rows.extend(report(module, args))
                return {}

            module.measures.append(measure)
            context.fit(
                module,
                CollectedMinibatches(module),
                cfg.ppo,
                directory=work,
                tracker=NoTracker(),
            )
    return [f"| {directory.name} {row}" for row in rows]


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    print("\n".join([HEAD, *(row for path in args.directories for row in of_run(path, args))]))
    print(f"\n| vocabulary | {' | '.join([*SAMPLED, 'exact'])} |\n|{'---|' * (len(SAMPLED) + 2)}")
    print("\n".join([*costs(6, 256), *costs(50_000, 4)]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "directories",
        type=Path,
        nargs="+",
        help="runs on an enumerable problem without a reward model",
    )
    parser.add_argument("--every", type=int, default=5, help="iterations between two reports")
    parser.add_argument(
        "--responses",
        type=int,
        default=256,
        help="responses of one estimate, as many as an evaluation has (256), rounded up to a"
        " multiple of the prompts",
    )
    parser.add_argument(
        "--repeats", type=int, default=2000, help="estimates whose intervals are judged"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--policy",
        action="store_true",
        help="the runs' final policies alone, without training again",
    )
    main(parser.parse_args())
