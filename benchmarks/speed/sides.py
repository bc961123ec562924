"""One comparison in this process: the product and its peers take turns, or one of them alone."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peak import resident_peak
from benchmarks.speed import ours, report
from benchmarks.speed.cases import Case, prepare
from benchmarks.speed.clock import Numbers, Peer


def begin(trl: Path | None) -> None:
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    if trl is not None:
        sys.path.insert(0, str(trl))


def ppo(name: str, folder: Path, turns: int, trl: Path) -> dict[str, Any]:
    """Iterations of each side, the first of both left out."""
    begin(trl)
    from benchmarks.speed import trl_ppo

    case = prepare(name, folder, 4 * rows_of(name))
    peer = Peer(trl_ppo.work(case, folder, turns + 2, collects=False))
    theirs: list[Numbers] = []
    rate = report.gflops()
    mine = ours.run(ours.ppo_words(case, folder, turns + 1), lambda: theirs.append(peer.turn()))
    peer.end()
    rates = sorted((rate, report.gflops()))
    return {
        "case": case.text,
        "steps": case.steps,
        "rows": case.rows,
        "ours": mine[1:],
        "trl": theirs[1:],
        "gflops": rates,
        "update_flops": [update_flops(case, folder, unit["tokens"]) for unit in mine[1:]],
    }


def rows_of(name: str) -> int:
    from benchmarks.speed.cases import CASES

    return CASES[name].rows


def update_flops(case: Case, folder: Path, response_tokens: float) -> float:
    """Operations of an iteration's updates on real tokens: 6 a weight and token (2 forward, 4
    backward) of both networks' blocks, and of the head where it predicts a response's token.
    Attention's own products are left out."""
    from benchmarks.speed.cases import training_rows

    prompts = [len(row["prompt"].split()) for row in training_rows(folder, "prompts")]
    tokens = case.rows * sum(prompts) / len(prompts) + response_tokens
    inner = round(8 * case.hidden / 3)
    block = 4 * case.hidden**2 + 3 * case.hidden * inner
    head = case.vocabulary * case.hidden * response_tokens
    return 6 * case.epochs * (2 * case.layers * block * tokens + head)


def supervised(stage: str, name: str, folder: Path, turns: int, trl: Path) -> dict[str, Any]:
    """Epochs of each side, the first of all left out."""
    begin(trl)
    from benchmarks.speed import trl_supervised

    rows = 2 * rows_of(name)
    case = prepare(name, folder, rows)
    modes = trl_supervised.modes(stage)
    peers = {
        mode: Peer(trl_supervised.work(stage, mode, case, folder, turns + 2)) for mode in modes
    }
    theirs: dict[str, list[Numbers]] = {mode: [] for mode in modes}

    def turn() -> None:
        for mode, peer in peers.items():
            theirs[mode].append(peer.turn())

    mine = ours.run(ours.supervised_words(stage, case, folder, turns + 1), turn)
    for peer in peers.values():
        peer.end()
    return {
        "case": case.text,
        "rows": rows,
        "batch": case.minibatch,
        "ours": mine[1:],
        "trl": {mode: units[1:] for mode, units in theirs.items()},
    }


def memory(side: str, name: str, folder: Path, trl: Path | None) -> Mapping[str, Any]:
    """Bytes of this process at its peak, over three iterations of one side, and those that were
    there before the first."""
    begin(trl if side == "trl" else None)
    case = prepare(name, folder, 4 * rows_of(name))
    if side == "ours":
        before = ours.run(ours.ppo_words(case, folder, 3))[0]["resident_before"]
        return {"peak": resident_peak(), "before": before}
    from benchmarks.speed import trl_ppo

    units: list[Numbers] = []
    trl_ppo.work(case, folder, 3, collects=True)(units.append)
    return {"peak": resident_peak(), "before": units[0]["resident_before"]}
