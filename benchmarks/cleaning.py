"""`rlhf clean` on a folder of runs: 24 finished, one running, one stopped and one that failed,
beside artifacts of runs that somebody removed and what a kill left. Prints what went and what
stayed, and whether all that stayed still resumes, compares, reproduces, samples and exports.

    python benchmarks/cleaning.py FOLDER

FOLDER must be empty or not there. Three minutes of processor time; runs of a second each.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

TINY = [
    *("data.demonstrations=64", "data.pairs=48", "data.prompts=64", "data.max_response_tokens=8"),
    *("model.hidden_size=64", "model.layers=1", "model.heads=2", "sft.epochs=2"),
    *("sft.batch_size=16", "reward_model.epochs=2", "reward_model.batch_size=16"),
    *("reward_model.normalize_samples=32", "ppo.iterations=4", "ppo.rollout_size=16"),
    *("ppo.minibatch_size=8", "evaluation.prompts=8", "evaluation.samples=2"),
    *("evaluation.every=2", "ppo.checkpoint_every=1", "tracking=none", "callbacks=none"),
    *("best_of_n=none", "checkpoints.after_finish=last"),
]
SWEEP = ["-m", *TINY, "sweep=study", "kl.coef=0.02,0.05,0.1,0.2"]
LONG = [*TINY, "evaluation.every=300"]
RUNNING = [*LONG, "kl.coef=0.3"]
STOPPED = [*LONG, "kl.coef=0.4"]
FAILED = [*TINY, "ppo.iterations=40", "kl.coef=0.5", "scorer=function"]
FAILED += ["scorer.function=own_reward.letters", "--allow-targets=own_reward"]
REWARD = '''"""A reward that fails while a file called `broken` is there."""
from pathlib import Path


def letters(responses):
    if Path("broken").exists():
        raise RuntimeError("the reward's service is down")
    return [float(text.count("a")) for text in responses]
'''


def rlhf(*words: str, code: int | None = 0) -> str:
    """What a command prints. Raises SystemExit where it ends with another code."""
    done = subprocess.run(_command(words), capture_output=True, text=True, check=False)
    if code is not None and done.returncode != code:
        raise SystemExit(f"rlhf {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "rlhf", *words]


def begin(words: Sequence[str], there: Callable[[], Any]) -> subprocess.Popen[bytes]:
    """A command that is at work, once something is there."""
    process = subprocess.Popen(
        _command(words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not there():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"rlhf {' '.join(words)} ended with {process.poll()} before it should")
        time.sleep(0.02)
    return process


def _checkpoint(pattern: str) -> Callable[[], Any]:
    return lambda: [*Path().glob(f"{pattern}/checkpoints/iteration-*.sha256")]


def make(sweep: Sequence[str], stop: Sequence[str], run: Sequence[str]) -> subprocess.Popen[bytes]:
    """Fills the folder that we are in; returns the process of the run that is at work."""
    Path("own_reward.py").write_text(REWARD, encoding="utf-8")
    rlhf(*sweep)
    stopped = begin(stop, _checkpoint("outputs/default/kl0.4-*"))
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(120) == 143
    failed = begin(FAILED, _checkpoint("outputs/default/kl0.5-*"))
    Path("broken").touch()
    assert failed.wait(120) == 1
    Path("broken").unlink()
    # stages of runs that somebody removed, one of them killed at work
    rlhf("stage=reward_model", *TINY, "study=scratch", "reward_model.seed=7", "sft.seed=7")
    words = ["stage=sft", *TINY, "study=scratch", "sft.seed=8", "sft.epochs=500"]
    killed = begin([*words, "sft.checkpoint_every=1"], _checkpoint("outputs/artifacts/sft/*.work"))
    killed.kill()
    killed.wait()
    shutil.rmtree("outputs/scratch")
    return begin(run, _checkpoint("outputs/default/kl0.3-*"))


def clean(*words: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(rlhf("clean", "--json", *words))
    return shown


def walked(sweep: Sequence[str], stopped: Sequence[str]) -> dict[str, bool]:
    """What still works of all that stayed."""
    jobs = sorted(path.parent for path in Path("sweeps/study").glob("*/summary.json"))
    before = [(job / "summary.json").stat().st_mtime_ns for job in jobs]
    again = rlhf(*sweep)
    finished = f"{len(jobs)} finished before" in again
    same = before == [(job / "summary.json").stat().st_mtime_ns for job in jobs]
    return {
        "the stopped run goes on": _goes_on(stopped),
        "the failed run goes on": _goes_on(FAILED),
        f"the sweep finds its {len(jobs)} jobs finished": finished and same,
        "the sweep compares": _works("compare", "sweeps/study"),
        # exit code 0: every number is the same
        "a job reproduces bit by bit": _works("reproduce", str(jobs[0]), "--into", "again"),
        "a job's policy answers beside its reference": _works(
            "sample", str(jobs[1]), "--prompt", "a b"
        ),
        "a job's policy is exported": _works("export", str(jobs[2]), "--to", "exported"),
    }


def _works(*words: str) -> bool:
    return subprocess.run(_command(words), capture_output=True, check=False).returncode == 0


def _goes_on(words: Sequence[str]) -> bool:
    """Whether a run is brought to its end from a checkpoint, not from the beginning."""
    rlhf(*words)
    coef = [word.partition("=")[2] for word in words if word.startswith("kl.coef=")][-1]
    (run,) = Path("outputs/default").glob(f"kl{coef}-*")
    legs = json.loads((run / "legs.json").read_text(encoding="utf-8"))["legs"]
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return bool(summary["status"] == "finished" and legs[-1]["from_iteration"] > 0)


def rows(shown: Mapping[str, Any]) -> list[str]:
    """A markdown table of what went and what stayed, with bytes."""
    lines = ["| | kind | things | bytes | why |", "| --- | --- | --- | --- | --- |"]
    for part in ("goes", "stays"):
        groups: dict[tuple[str, str], list[int]] = {}
        for thing in shown[part]:
            why = thing["why"].replace(thing["path"], "").split(" is not finished")[0]
            groups.setdefault((thing["kind"], why), []).append(thing["bytes"])
        for (kind, why), sizes in sorted(groups.items()):
            lines.append(f"| {part} | {kind} | {len(sizes)} | {sum(sizes):,} | {why} |")
    return lines


def main(folder: Path, seeds: int = 6, iterations: int = 300) -> dict[str, Any]:
    """Fills the folder, cleans it and walks through what stayed.

    Args:
        seeds: of each of the four coefficients of the sweep.
        iterations: of the run that is at work meanwhile; the one that is stopped has two thirds.
    """
    root = Path(__file__).resolve().parents[1]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    sweep = [*SWEEP, f"seed=range(0,{seeds})"]
    stopped = [*STOPPED, f"ppo.iterations={iterations * 2 // 3}"]
    running = make(sweep, stopped, [*RUNNING, f"ppo.iterations={iterations}"])
    planned = clean()
    removed = clean("--yes")
    again = clean()
    ended = running.wait(600)
    works = {
        "the run that was at work ends as if nothing had been": ended == 0,
        **walked(sweep, stopped),
    }
    return {"planned": planned, "removed": removed, "again": again, "works": works}


if __name__ == "__main__":
    found = main(Path(sys.argv[1]))
    sizes = found["planned"]["bytes"]
    print("\n".join(rows(found["planned"])))
    print(f"\nIn sight before: {sizes['before']:,} bytes; freed: {sizes['freed']:,}.\n")
    print(
        "\n".join(f"- {name}: {'yes' if is_so else 'NO'}" for name, is_so in found["works"].items())
    )
    sys.exit(not all(found["works"].values()))
