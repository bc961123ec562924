"""What a sweep survives, and what it costs against as many whole pipelines.

    python benchmarks/sweep.py FOLDER [override ...]

FOLDER is new; the overrides go to every command below.

1. `rlhf kl.coef=0.05` in folders of their own, so that each trains SFT and reward model too: one
alone, then two side by side.
2. `rlhf experiment=fixed_or_steered`, 24 jobs, two at a time. One job finds a folder where its
metrics should go and raises, one gets SIGKILL in the middle of PPO, and when eleven have finished
the parent gets it too.
3. What stands in the way of the failing job is removed, and the same command is given again.
4. One more whole pipeline alone, so that a machine that became faster or slower shows.

Then it checks that all jobs finished, that no finished job's files were touched, that MLflow has
each run once and each iteration once, and that each stage was trained once. Prints Markdown. The
exit code is 1 if a check fails. Takes half an hour on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from rlhf.rundir.read import read_json
from rlhf.rundir.status import read_status

SWEEP = "experiment=fixed_or_steered"
ENOUGH = 11  # jobs that have finished when the parent is killed
Digest = dict[str, tuple[str, int]]


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """`rlhf` in the folder, its words in log.txt there."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "rlhf", *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=(folder / "log.txt").open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def seconds(*commands: Callable[[], subprocess.Popen[bytes]]) -> float:
    """Wall time of commands that run side by side."""
    began = time.monotonic()
    for process in [command() for command in commands]:
        if process.wait() != 0:
            raise SystemExit(f"exit code {process.returncode}: {process.args}")
    return time.monotonic() - began


def until(holds: Callable[[], bool], parent: subprocess.Popen[bytes]) -> None:
    while not holds():
        if parent.poll() is not None:
            raise SystemExit(
                f"the sweep ended by itself (exit code {parent.returncode}) before it could be"
                " broken"
            )
        time.sleep(0.2)


def jobs(sweep: Path) -> list[Path]:
    return (
        [sweep / job["name"] for job in read_json(sweep / "sweep.json")["jobs"]]
        if (sweep / "sweep.json").exists()
        else []
    )


def finished(sweep: Path) -> list[Path]:
    return [job for job in jobs(sweep) if (job / "summary.json").exists()]


def in_ppo(sweep: Path) -> Iterator[Path]:
    """The jobs that are in the middle of PPO, a checkpoint behind them."""
    for job in jobs(sweep):
        status = read_status(job)
        if (
            status.get("state") == "running"
            and status.get("stage") == "ppo"
            and (status.get("iteration") or 0) >= 7
        ):
            yield job


def contents(job: Path) -> Digest:
    """Bytes and time of each file of a job; without MLflow's own record, which the delivery of
    late numbers may touch."""
    files = (
        path
        for path in sorted(job.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and path.name != "tracking.json"
    )
    return {
        str(path.relative_to(job)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in files
    }


def break_it(sweep: Path, parent: subprocess.Popen[bytes]) -> tuple[Path, Path]:
    """Makes one job raise, kills one, and at last the parent. Returns the first two."""
    until(lambda: bool(jobs(sweep)), parent)
    raising = jobs(sweep)[5]
    (raising / "metrics.jsonl").mkdir(parents=True)
    until(lambda: len(finished(sweep)) >= 3 and any(in_ppo(sweep)), parent)
    killed = next(in_ppo(sweep))
    os.kill(read_status(killed)["pid"], signal.SIGKILL)
    until(lambda: len(finished(sweep)) >= ENOUGH, parent)
    parent.kill()
    parent.wait()
    return raising, killed


def in_mlflow(folder: Path, name: str) -> tuple[Counter[str], int]:
    """Runs by stage, and how many PPO runs lack an iteration or have one twice."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/outputs/mlflow.db")
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    wrong = 0
    for run in runs:
        if run.data.tags["stage"] == "ppo":
            steps = [
                point.step
                for point in client.get_metric_history(run.info.run_id, "kl/sequence_nats")
            ]
            wrong += steps != list(range(1, int(run.data.params["ppo.iterations"]) + 1))
    return Counter(run.data.tags["stage"] for run in runs), wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    folder, more = args.folder.absolute(), args.overrides
    folder.mkdir(parents=True)
    iterations = (
        [] if any(item.startswith("ppo.iterations=") for item in more) else ["ppo.iterations=40"]
    )

    def pipeline(name: str) -> Callable[[], subprocess.Popen[bytes]]:
        return lambda: start(folder / name, "kl.coef=0.05", *iterations, *more)

    alone = [seconds(pipeline("one"))]
    pair = seconds(pipeline("left"), pipeline("right"))

    sweep = folder / "sweeps/fixed_or_steered"
    began = time.monotonic()
    parent = start(folder, SWEEP, *more)
    raising, killed = break_it(sweep, parent)
    first = time.monotonic() - began
    time.sleep(10)  # the jobs see that their parent is gone, and save their state
    (raising / "metrics.jsonl").rmdir()
    before = {job: contents(job) for job in finished(sweep)}
    states = Counter(
        read_status(job).get("state", "not started") for job in jobs(sweep) if job not in before
    )
    second = seconds(lambda: start(folder, SWEEP, *more))
    alone.append(seconds(pipeline("another")))
    for name in ("one", "left", "right", "another"):
        shutil.rmtree(folder / name)

    total = len(jobs(sweep))
    untouched = sum(contents(job) == files for job, files in before.items())
    stages, wrong = in_mlflow(folder, "fixed_or_steered")
    trained = {
        stage: len(list((folder / "outputs/artifacts" / stage).glob("*/manifest.json")))
        for stage in ("sft", "reward_model")
    }
    whole, each = first + second, sum(alone) / len(alone)
    print(
        f"Raised: `{raising.name}`. Killed: `{killed.name}`. Parent killed after {len(before)}"
        f" jobs; the others then: {dict(states)}.\n"
    )
    print(
        f"Finished {len(finished(sweep))} of {total}; untouched {untouched} of {len(before)};"
        f" MLflow: {dict(stages)},"
    )
    print(f"{wrong} runs with an iteration missing or twice; trained: {trained}.\n")
    print("| | seconds | 24 of them / the sweep |\n|---|---|---|")
    print(f"| the sweep, {first:.0f} to the kill and {second:.0f} after it | {whole:.0f} | |")
    print(
        f"| one whole pipeline, alone | {' and '.join(f'{x:.0f}' for x in alone)} |"
        f" {total * each / whole:.2f} |"
    )
    print(f"| two whole pipelines, side by side | {pair:.0f} | {total / 2 * pair / whole:.2f} |")
    good = (
        len(finished(sweep)) == total
        and untouched == len(before)
        and not wrong
        and set(trained.values()) == {1}
    )
    return int(not (good and stages["ppo"] == total and stages["sweep"] == 1))


if __name__ == "__main__":
    sys.exit(main())
