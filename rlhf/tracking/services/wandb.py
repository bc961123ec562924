"""Weights & Biases: files that are sent while they grow (online), or that `wandb sync` sends
later (offline)."""

from __future__ import annotations

import netrc
import os
import shlex
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from rlhf.tracking.services.results import failure, results, samples, texts
from rlhf.tracking.services.upload import Upload
from rlhf.tracking.spool.follower import Follower
from rlhf.tracking.spool.opened import open_state
from rlhf.tracking.spool.sink import Row, Sink

Mode = Literal["online", "offline", "disabled"]
PATIENCE = 15  # seconds that the server has at the end of a run, for what has not arrived
EXIT_CODES = {"FINISHED": 0, "FAILED": 1, "KILLED": 130}
_MODES: dict[str, Mode] = {"offline": "offline", "dryrun": "offline", "disabled": "disabled"}
HEADER = 7  # bytes of a file without a record
_SERVER = "https://api.wandb.ai"


def mode_of(asked: str | None) -> Mode:
    """What was asked for, else what WANDB_MODE says, else online."""
    return _MODES.get(asked or os.environ.get("WANDB_MODE", ""), "online")


def login_fault(asked: str | None) -> str | None:
    """Why runs cannot go online, and what to do. Asks the environment and ~/.netrc, no server, and
    imports no wandb: that would ask for a key at the terminal."""
    if mode_of(asked) != "online" or os.environ.get("WANDB_API_KEY"):
        return None
    server = os.environ.get("WANDB_BASE_URL", _SERVER)
    with suppress(OSError, netrc.NetrcParseError):
        if netrc.netrc(os.environ.get("NETRC")).authenticators(urlsplit(server).hostname or ""):
            return None
    return (
        f"tracking=wandb goes online to {server} and has no key: `wandb login`, or WANDB_API_KEY="
        "... in the environment, or tracking.mode=offline (`wandb sync` sends the files later)"
    )


class WandbSink(Sink):
    """wandb writes files, in a process of its own; online another process sends them while they
    grow, so that no server is ever waited for in the run's.

    What an earlier process did not close is written again whole: what a kill left unwritten is not
    known. Sent again under the same id it takes the place of what was sent.
    """

    service, file = "Weights & Biases", "tracking.wandb.json"
    takes_system = False  # wandb does it, in the process that it writes from
    largest = 10_000  # metrics

    def __init__(self, directory: Path, state: dict[str, Any]) -> None:
        super().__init__(directory, state)
        self._run: Any = None
        self._upload: Upload | None = None

    @property
    def label(self) -> str:
        where = self.state["settings"]["mode"]
        return f"Weights & Biases ({where}, project {self.state['settings']['project']})"

    @property
    def _id(self) -> str:
        return str(self.state["key"][:16])

    def open(self, *, resume: bool) -> dict[str, Any]:
        delivered = self._set_aside()
        import wandb

        # beside others of this process (the points of a path, a stage that ends), and alone in it:
        # `wandb.run` stays the user's
        self._run = wandb.init(**self._named(), settings=self._quiet(resume))
        folder = Path(str(self._run.settings.sync_dir))
        link = f"wandb sync {shlex.quote(os.path.relpath(folder))}"
        if self.state["settings"]["mode"] == "online":
            self._upload = Upload(folder)
            link = self._address()
        folders = {**self.state.get("folders", {}), folder.name: delivered}
        return {"delivered": delivered, "folders": folders, "link": link}

    def _named(self) -> dict[str, Any]:
        state, tags = self.state, self.state["tags"]
        settings = state["settings"]
        Path(settings["dir"]).mkdir(parents=True, exist_ok=True)
        return {
            "project": settings["project"],
            "entity": settings["entity"],
            "dir": settings["dir"],
            "id": self._id,
            "resume": "allow",
            "name": state["name"],
            "group": tags.get("sweep"),
            "job_type": tags.get("stage"),
            "config": {**state["params"], "tags": tags},
            "reinit": "create_new",
        }

    def _quiet(self, resume: bool) -> Any:
        """Nothing of the user's code or terminal is taken."""
        import wandb

        return wandb.Settings(
            mode="offline",
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,  # the command line is in it, with the login of an address
            x_save_requirements=False,
            x_disable_stats=not resume,  # the machine of a run that has ended does other things
            finish_timeout=PATIENCE,
            finish_timeout_raises=True,
        )

    def _address(self) -> str:
        """Of the run's page, or of the front page where nobody says whose the run is."""
        server = os.environ.get("WANDB_BASE_URL", _SERVER).replace("//api.", "//").rstrip("/")
        settings = self.state["settings"]
        if not settings["entity"]:
            return f"{server} (project {settings['project']})"
        return f"{server}/{settings['entity']}/{settings['project']}/runs/{self._id}"

    def _set_aside(self) -> int:
        """Removes what earlier processes wrote of this run and nobody has sent whole. Returns the
        last iteration before that, behind which all is written again."""
        folder, began = Path(self.state["settings"]["dir"]) / "wandb", self.state.get("folders", {})
        places = [*folder.glob(f"offline-run-*-{self._id}")]
        unsent = [place for place in places if not _is_sent(place)]
        last = self.state["delivered"] if len(unsent) < len(places) else -1
        for place in unsent:
            last = min(last, began.get(place.name, last))
            shutil.rmtree(place)
        return last

    def send(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._run.log({**row.values, "_timestamp": row.time / 1000}, step=row.number)
            self.steps += 1

    def end(self, status: str, *, step: int, time: int, ended: int) -> None:
        import wandb

        run = self._run
        columns, cells = samples(self.directory)
        if cells:
            table = wandb.Table(columns=columns, data=cells, allow_mixed_types=True)
            run.log({"samples": table, "_timestamp": time / 1000}, step=step)
        run.summary.update({**results(self.directory), "status": status})
        if reason := failure(self.directory):
            run.summary.update({"error": reason})
        for name, content in texts(self.directory):
            own = Path(run.dir) / ("run_config.yaml" if name == "config.yaml" else name)
            own.write_text(content, encoding="utf-8")  # wandb has a config.yaml of its own
            run.save(str(own), base_path=run.dir, policy="now")
            self.steps += 1
        self._run = None
        run.finish(exit_code=EXIT_CODES[status])
        path = Path(str(run.settings.sync_file))
        _wait_until_written(path)
        if self._upload is not None:
            if not self._upload.wait(PATIENCE):
                server = os.environ.get("WANDB_BASE_URL", _SERVER)
                raise TimeoutError(f"{server} has not taken {path.parent}")
            path.with_name(f"{path.name}.synced").touch()

    def drop(self) -> None:
        run, self._run = self._run, None
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.stop()
        if run is not None:
            with suppress(Exception):  # it is written again
                run.finish(exit_code=1)


def _is_sent(place: Path) -> bool:
    """Whether a folder of a run was sent after the last that was written to it."""
    files = [(mark, mark.with_suffix("")) for mark in place.glob("*.wandb.synced")]
    return any(
        file.is_file() and mark.stat().st_mtime_ns >= file.stat().st_mtime_ns
        for mark, file in files
    )


def _wait_until_written(path: Path) -> None:
    """wandb says that a run is finished a moment before its process has written the last of it.

    Raises:
        TimeoutError: it does not come.
    """
    deadline, size = time.monotonic() + PATIENCE, -1
    while (now := path.stat().st_size) != size or size <= HEADER:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} is not written")
        size = now
        time.sleep(0.1)


class Wandb(Follower):
    """Follows run directories into runs of Weights & Biases, one after another. The key comes from
    WANDB_API_KEY or `wandb login`, never from a config.

    Args:
        entity: the user or team; None: the key's own.
        mode: `online` or `offline`; None: as WANDB_MODE says, else online.
        dir: where wandb's folder is.
    """

    sink = WandbSink

    def __init__(
        self, project: str, dir: str, entity: str | None = None, mode: str | None = None
    ) -> None:
        super().__init__()
        self.project, self.entity, self.mode = project, entity, mode
        self.dir = str(Path(dir).expanduser().absolute())

    def opened(self, directory: Path, **shown: Any) -> dict[str, Any]:
        settings = {
            "project": self.project,
            "entity": self.entity,
            "dir": self.dir,
            "mode": mode_of(self.mode),
        }
        decides = ("project", "entity", "dir")
        return open_state(directory, self.sink.file, settings=settings, decides=decides, **shown)

    def add(self, directory: Path, **shown: Any) -> None:
        if mode_of(self.mode) != "disabled":
            super().add(directory, **shown)

    def begin(self, directory: Path, **shown: Any) -> None:
        if mode_of(self.mode) != "disabled":
            super().begin(directory, **shown)
