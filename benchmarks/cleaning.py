"""`rlhf clean` on a folder of runs: 24 finished, one running, one stopped and one that failed,
beside artifacts of runs that somebody removed and what a kill left. Prints what went and what
stayed, and whether all that stayed still resumes, compares, reproduces, samples and exports.

    python -m benchmarks.cleaning FOLDER

FOLDER must be empty or not there. A minute or two of processor time; runs of a second each.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.soak.commands import Command, Server

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


@dataclass(frozen=True)
class Scene:
    """A folder, and commands that are given in it."""

    folder: Path
    server: Server
    sweep: Sequence[str]
    stopped: Sequence[str]
    running: Sequence[str]

    def rlhf(self, *words: str) -> str:
        """What a command prints. Raises SystemExit where it ends with a code."""
        ended = self.server.run(self.folder, words)
        if ended.code:
            raise SystemExit(f"rlhf {' '.join(words)}: {ended.code}\n{ended.text}")
        return ended.text

    def works(self, *words: str) -> bool:
        return self.server.run(self.folder, words).code == 0

    def begin(self, words: Sequence[str], run: str) -> Command:
        """A command that is at work, once its run has a checkpoint."""
        command = self.server.start(self.folder, words)
        deadline = time.monotonic() + 300
        while not [*self.folder.glob(f"{run}/checkpoints/iteration-*.sha256")]:
            if command.code is not None or time.monotonic() > deadline:
                ended = f"ended with {command.code} before it should"
                raise SystemExit(f"rlhf {' '.join(words)} {ended}")
            time.sleep(0.02)
        return command

    def make(self) -> Command:
        """Fills the folder; returns the run that is at work."""
        (self.folder / "own_reward.py").write_text(REWARD, encoding="utf-8")
        self.rlhf(*self.sweep)
        stopped = self.begin(self.stopped, "outputs/default/kl0.4-*")
        stopped.signal(signal.SIGTERM)
        assert stopped.wait().code == 143
        failed = self.begin(FAILED, "outputs/default/kl0.5-*")
        (self.folder / "broken").touch()
        assert failed.wait().code == 1
        (self.folder / "broken").unlink()
        # stages of runs that somebody removed, one of them killed at work
        scratch = [*TINY, "study=scratch"]
        self.rlhf("stage=reward_model", *scratch, "reward_model.seed=7", "sft.seed=7")
        long = ["stage=sft", *scratch, "sft.seed=8", "sft.epochs=500", "sft.checkpoint_every=1"]
        killed = self.begin(long, "outputs/artifacts/sft/*.work")
        killed.signal(signal.SIGKILL)
        killed.wait()
        shutil.rmtree(self.folder / "outputs/scratch")
        return self.begin(self.running, "outputs/default/kl0.3-*")

    def clean(self, *words: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.rlhf("clean", "--json", *words))
        return shown

    def walked(self) -> dict[str, bool]:
        """What still works of all that stayed."""
        summaries = sorted((self.folder / "sweeps/study").glob("*/summary.json"))
        jobs = [str(path.parent.relative_to(self.folder)) for path in summaries]
        before = [path.stat().st_mtime_ns for path in summaries]
        finished = f"{len(jobs)} finished before" in self.rlhf(*self.sweep)
        same = before == [path.stat().st_mtime_ns for path in summaries]
        return {
            "the stopped run goes on": self._goes_on(self.stopped),
            "the failed run goes on": self._goes_on(FAILED),
            f"the sweep finds its {len(jobs)} jobs finished": finished and same,
            "the sweep compares": self.works("compare", "sweeps/study"),
            # exit code 0: every number is the same
            "a job reproduces bit by bit": self.works("reproduce", jobs[0], "--into", "again"),
            "a job's policy answers beside its reference": self.works(
                "sample", jobs[1], "--prompt", "a b"
            ),
            "a job's policy is exported": self.works("export", jobs[2], "--to", "exported"),
        }

    def _goes_on(self, words: Sequence[str]) -> bool:
        """Whether a run is brought to its end from a checkpoint, not from the beginning."""
        self.rlhf(*words)
        coef = [word.partition("=")[2] for word in words if word.startswith("kl.coef=")][-1]
        (run,) = self.folder.glob(f"outputs/default/kl{coef}-*")
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


def main(
    folder: Path, seeds: int = 6, iterations: int = 300, server: Server | None = None
) -> dict[str, Any]:
    """Fills the folder, cleans it and walks through what stayed.

    Args:
        seeds: of each of the four coefficients of the sweep.
        iterations: of the run that is at work meanwhile; the one that is stopped has two thirds.
        server: what starts the commands; without it a new one does.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    scene = Scene(
        folder,
        server or Server(folder / "said"),
        sweep=[*SWEEP, f"seed=range(0,{seeds})"],
        stopped=[*STOPPED, f"ppo.iterations={iterations * 2 // 3}"],
        running=[*RUNNING, f"ppo.iterations={iterations}"],
    )
    running = scene.make()
    planned = scene.clean()
    removed = scene.clean("--yes")
    again = scene.clean()
    ended = running.wait(600)
    works = {
        "the run that was at work ends as if nothing had been": ended.code == 0,
        **scene.walked(),
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
