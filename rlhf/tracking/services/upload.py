"""Sends a run's files to Weights & Biases while they grow, in a process of its own: `wandb beta
sync`, which ends with whoever started it. `python -m rlhf.tracking.services.upload FOLDER`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


class Upload:
    """The process, under way."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", __name__, str(folder)]
        quiet = subprocess.DEVNULL
        # it reads an end of its input as ours
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=quiet,
            stderr=quiet,
            start_new_session=True,
            env={**os.environ, "WANDB_DIR": str(folder.parents[1])},  # its own logs go there
        )

    def wait(self, seconds: float) -> bool:
        """Whether all has arrived within this time."""
        try:
            return self._process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False

    def stop(self) -> None:
        """Ends it, whatever it has sent: what was not is sent again later."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # with the upload itself
            self._process.wait()


def main(folder: str) -> int:
    """The exit code of the upload, which is killed when the input ends."""
    command = [sys.executable, "-m", "wandb", "beta", "sync", "--live", "--yes", folder]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end() -> None:
        sys.stdin.read()
        process.kill()

    threading.Thread(target=end, daemon=True).start()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
