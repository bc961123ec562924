"""rlhf ui: MLflow's pages

They are served on the store that the runs are in, on this computer only."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from rlhf.commands.parts.parser import Parser
from rlhf.rundir.secrets.redact import redact_text
from rlhf.rundir.signals import stop_signals
from rlhf.tracking.addresses import absolute_uri, database, mlflow_uri, whole_uri
from rlhf.tracking.database import examine
from rlhf.tracking.links import newest_place, tracked_place
from rlhf.tracking.store import making, quiet

HOST = "127.0.0.1"
POLL = 0.5  # seconds between looks at MLflow
SCREENS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")  # one is set where a page can be opened
GRACE = 10.0  # seconds that MLflow has to end


DESCRIPTION = """
Serves MLflow's pages on this computer until Ctrl-C, and opens that of a sweep or a run. The store:
--uri, else that in which the directory was tracked, else the settings given, else
MLFLOW_TRACKING_URI, else the config's tracking.uri."""
EXAMPLES = {
    "rlhf ui": "the newest sweep or run",
    "rlhf ui sweeps/quickstart": "that of a sweep",
    "rlhf ui --uri sqlite:///outputs/mlflow.db --port 5001": "another store, another port",
}
EXIT_CODES = {
    0: "ended by you, or nothing to start",
    1: "MLflow ended by itself",
    2: "there is no such store or directory, or the port is taken",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 ended by the user, or nothing to start; 1 MLflow ended by itself; 2 refused."""
    args = _parser().parse_args(argv)
    places = [word for word in args.words if "=" not in word]
    try:
        if len(places) > 1:
            raise ValueError(f"one directory at a time, not {' and '.join(places)}")
        if places:
            uri, place = tracked_place(Path(_named(places[0])))
            uri = servable(args.uri or uri)
        else:
            uri = servable(args.uri or configured(args.words))
            place = newest_place(uri)
        if uri.startswith("http"):
            print(f"a server has these runs: {redact_text(uri).rstrip('/')}/{place}")
            return 0
        _check_port(args.port)
    except ValueError as error:
        print("rlhf ui: " + "\n  ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    return serve(uri, args.port, place)


def _parser() -> argparse.ArgumentParser:
    parser = Parser("ui", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="directory or setting",
        help="a sweep or a run, by its folder, such as sweeps/quickstart, its name or how that"
        " begins; or settings as for rlhf: paths.outputs=/data/outputs, tracking.uri=...",
    )
    parser.add_argument("--uri", help="the store, such as sqlite:///outputs/mlflow.db")
    parser.add_argument("--port", type=int, default=5000, help="of 127.0.0.1 (default: 5000)")
    return parser


def _named(word: str) -> str:
    from rlhf.commands.parts.named import place_of
    from rlhf.inventory import RunEntry, SweepEntry

    return place_of(word, RunEntry, SweepEntry)


def configured(settings: Sequence[str]) -> str:
    """The store's address by these settings, the environment and the config.

    Raises:
        ValueError: they name none, or are wrong.
    """
    from rlhf.config.compose import compose, validate
    from rlhf.config.pieces.tracking import mlflow_of

    named = os.environ.get("MLFLOW_TRACKING_URI")
    if named and not settings:
        return named
    tracking = mlflow_of(validate(compose(settings)).tracking)
    if tracking is None:
        raise ValueError("these settings track nothing in MLflow; give --uri")
    return whole_uri(tracking.uri)


def servable(uri: str) -> str:
    """The address made absolute.

    Raises:
        ValueError: there is no store, or one that MLflow would make its own or break.
    """
    address, path = absolute_uri(uri), database(uri)
    if path is not None and not path.is_file():
        raise ValueError(
            f"{path} is not there: no run has been tracked in it. Run one first, or name another"
            " store with --uri"
        )
    if path is not None:
        examine(path)
    return address


def _check_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise ValueError(f"--port {port}: expected a whole number from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise ValueError(
                f"port {port} is taken, perhaps by another rlhf ui (http://{HOST}:{port}), or not"
                " for this user; --port takes another"
            ) from None


def command(port: int) -> list[str]:
    """One worker: each takes about 235 MB and one is enough for one reader. The store is told by
    MLFLOW_BACKEND_STORE_URI: everybody on this computer can read a command line, and the address
    may hold a password."""
    return [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]


def serve(uri: str, port: int, place: str) -> int:
    """Until Ctrl-C, SIGTERM or the terminal's end, which end MLflow and all its children. `place`:
    the part of the address that says which page is printed and opened."""
    quiet()
    base = f"http://{HOST}:{port}"
    # noted: none may cut the start of MLflow or its end short
    with stop_signals() as stop:
        if (path := database(uri)) and examine(path) != "ready":
            with making(path):
                pass
        server = subprocess.Popen(
            command(port),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            env={
                "PYTHONWARNINGS": "ignore",
                **os.environ,
                "MLFLOW_BACKEND_STORE_URI": mlflow_uri(uri),
            },
        )
        try:
            print(f"MLflow on {redact_text(uri)} begins; it takes about half a minute", flush=True)
            announced = False
            while not stop.signals and (code := server.poll()) is None:
                if not announced and answers(base):
                    print(f"{base}/{place}\nCtrl-C ends it", flush=True)
                    announced = True
                    if any(map(os.environ.get, SCREENS)):
                        webbrowser.open(f"{base}/{place}")
                time.sleep(POLL)
            if stop.signals:
                return 0
            print(f"rlhf ui: MLflow ended by itself (exit {code})", file=sys.stderr)
            return 1
        finally:
            end(server)


def answers(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def end(server: subprocess.Popen[bytes]) -> None:
    """Asks the whole process group to end, then kills what is left of it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            server.poll()
            try:
                os.killpg(server.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.1)
