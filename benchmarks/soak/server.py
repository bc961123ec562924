"""A tracking server that dies, is slow, lies or hangs up while a run delivers to it, and a password
in its address."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from benchmarks.soak.commands import Ended
from benchmarks.soak.proxy import BAD, Proxy
from benchmarks.soak.same import Difference, compare, compare_stores, tracked
from benchmarks.soak.scene import EXPERIMENT, Scene
from benchmarks.soak.tries import Try

START = 180.0  # seconds that MLflow's server may need
_lock = threading.Lock()
_server: list[tuple[subprocess.Popen[bytes], int, Path]] = []


def server(scene: Scene, this: Try) -> None:
    """The run goes on with the same numbers, whatever the server does; when it is well again the
    same command delivers all that is missing, once. The password is in no file."""
    rng = scene.rng(this.kind, this.index)
    port, database = upstream(scene)
    proxy = Proxy(port)
    folder = scene.fresh(f"server-{this.index}", cold=True)
    reference, whole = scene.reference()
    secret = f"canary{scene.seed}x{this.index}"
    experiment = f"soak-{scene.seed}-{this.index}"
    words = [*EXPERIMENT, "tracking.uri=${oc.env:SOAK_URI}", f"tracking.experiment={experiment}"]
    environment = {"SOAK_URI": f"http://soak:{secret}@127.0.0.1:{proxy.port}"}
    modes = [rng.choice(("good", *BAD)), rng.choice(BAD)]
    moment = rng.uniform(0, 2 * whole.seconds)
    this.faults.append(f"the server is {modes[0]}, {modes[1]} after {moment:.2f} s")
    proxy.become(modes[0])
    timer = threading.Timer(moment, proxy.become, (modes[1],))
    timer.start()
    first = scene.server.run(folder, words, environment=environment)
    timer.cancel()
    this.saw(first)
    if first.code:
        this.breaks(f"exit code {first.code}: {first.last_words}")
    this.differs(compare(folder, reference, store=False))
    proxy.become("good")
    commands: list[Ended] = [first]

    def again() -> Ended:
        commands.append(scene.server.run(folder, words, environment=environment))
        return commands[-1]

    scene.finish(this, folder, store=False, command=again)
    if "yes" not in modes:  # a server that confirms what it did not store is believed
        difference = Difference()
        compare_stores(
            difference, tracked(reference / "outputs/mlflow.db"), tracked(database, experiment)
        )
        this.differs(difference)
    leaks = [str(path.relative_to(folder)) for path in holding(secret, folder)]
    leaks += ["the server's database"] if secret.encode() in database.read_bytes() else []
    leaks += ["what the command said"] if any(secret in ended.text for ended in commands) else []
    this.leaked += len(leaks)
    if leaks:
        this.breaks(f"the password is in {', '.join(leaks)}")
    proxy.close()
    scene.done(folder)


def holding(secret: str, folder: Path) -> list[Path]:
    """The files below the folder that have the secret in them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if secret.encode() in path.read_bytes()]


def upstream(scene: Scene) -> tuple[int, Path]:
    """The port of a real MLflow server, started once, and its database."""
    with _lock:
        if not _server:
            folder = scene.root / "mlflow-server"
            shutil.copytree(scene.template / "outputs", folder)
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
            command += ["--port", str(port), "--workers", "1"]
            command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
            command += ["--artifacts-destination", str(folder / "artifacts")]
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            _server.append((process, port, folder / "mlflow.db"))
            _await(process, port)
        _, port, database = _server[0]
        return port, database


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            return
        time.sleep(0.5)
    raise RuntimeError("MLflow's server did not start")


def close() -> None:
    """Ends MLflow's server and its workers, if it was started."""
    while _server:
        process, *_ = _server.pop()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # nothing of it is kept
        process.wait()
