"""One comparison in this process: the product and its peers take turns, or one of them alone."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peak import allocated_peak
from benchmarks.speed import clock, ours, report
from benchmarks.speed.cases import CASES, Case, prepare
from benchmarks.speed.clock import Numbers, Peer


def begin(name: str, trl: Path | None) -> None:
    import torch

    clock.compute_on(CASES[name].device)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    if trl is not None:
        sys.path.insert(0, str(trl))


def ppo(name: str, folder: Path, turns: int, trl: Path, words: Sequence[str]) -> dict[str, Any]:
    """Iterations of each side, the first of both left out."""
    begin(name, trl)
    from benchmarks.speed import trl_ppo

    case = prepare(name, folder, 4 * CASES[name].rows)
    peer = Peer(trl_ppo.work(case, folder, turns + 2, collects=False))
    theirs: list[Numbers] = []
    rate = report.gflops(case.device)
    mine = ours.run(
        [*ours.ppo_words(case, folder, turns + 1), *words], lambda: theirs.append(peer.turn())
    )
    peer.end()
    rates = sorted((rate, report.gflops(case.device)))
    return {
        "case": case.text,
        "steps": case.steps,
        "rows": case.rows,
        "ours": mine[1:],
        "trl": theirs[1:],
        "gflops": rates,
        "update_flops": [update_flops(case, folder, unit["tokens"]) for unit in mine[1:]],
    }


def update_flops(case: Case, folder: Path, response_tokens: float) -> float:
    """Operations of an iteration's updates on real tokens: 6 a weight and token (2 forward, 4
    backward) of both networks' blocks, and of the head where it predicts a response's token.
    Attention's own products are left out."""
    from benchmarks.speed.cases import training_rows

    prompts = [len(row["prompt"].split()) for row in training_rows(folder, "prompts")]
    tokens = case.rows * sum(prompts) / len(prompts) + response_tokens
    grouped = case.hidden * case.kv_heads // case.heads  # of keys, of values
    block = 2 * case.hidden * (case.hidden + grouped) + 3 * case.hidden * case.inner_size
    head = case.vocabulary * case.hidden * response_tokens
    return 6 * case.epochs * (2 * case.layers * block * tokens + head)


def supervised(
    stage: str, name: str, folder: Path, turns: int, trl: Path, words: Sequence[str]
) -> dict[str, Any]:
    """Epochs of each side, the first of all left out."""
    begin(name, trl)
    from benchmarks.speed import trl_supervised

    rows = 2 * CASES[name].rows
    case = prepare(name, folder, rows)
    modes = trl_supervised.modes(stage)
    peers = {
        mode: Peer(trl_supervised.work(stage, mode, case, folder, turns + 2)) for mode in modes
    }
    theirs: dict[str, list[Numbers]] = {mode: [] for mode in modes}

    def turn() -> None:
        for mode, peer in peers.items():
            theirs[mode].append(peer.turn())

    mine = ours.run([*ours.supervised_words(stage, case, folder, turns + 1), *words], turn)
    for peer in peers.values():
        peer.end()
    return {
        "case": case.text,
        "rows": rows,
        "batch": case.minibatch,
        "ours": mine[1:],
        "trl": {mode: units[1:] for mode, units in theirs.items()},
    }


def memory(
    side: str, name: str, folder: Path, trl: Path | None, words: Sequence[str]
) -> Mapping[str, Any]:
    """Bytes of this process at its peak, over two iterations of one side, and those that were
    there before the first: resident ones, or those allocated on the GPU."""
    begin(name, trl if side == "trl" else None)
    case = prepare(name, folder, 4 * CASES[name].rows)
    if side == "ours":
        before = ours.run([*ours.ppo_words(case, folder, 2), *words])[0]["bytes_before"]
        return {"peak": allocated_peak(case.device), "before": before}
    from benchmarks.speed import trl_ppo

    units: list[Numbers] = []
    trl_ppo.work(case, folder, 2, collects=True)(units.append)
    return {"peak": allocated_peak(case.device), "before": units[0]["bytes_before"]}
