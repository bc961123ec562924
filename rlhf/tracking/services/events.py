"""TensorBoard's event files of one run: what is in them, and more of it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

ITERATION = "iteration"  # written last of an iteration: what has it has arrived whole


class EventFiles:
    """A folder of event files, read once and then added to in a file of its own.

    What stands behind the last whole iteration is taken back as TensorBoard does it: a START of a
    session at a step has its readers drop all that earlier files have from that step on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.last = folder, -1
        self.tags: dict[str, tuple[int, bytes]] = {}  # the last step of each, and what it says
        self._file: BinaryIO | None = None
        self._stamp = 0
        for event in self._events():
            self._take(event)
        cut_short = any(step > self.last for step, _ in self.tags.values())
        self._purge = self.last + 1 if cut_short else None
        if self._purge is not None:
            self._forget(self._purge)

    def write(self, step: int, time_ms: int, *values: Any) -> None:
        """Adds summaries of a step, each as `scalars`, `text` or one of a plugin."""
        from tensorboard.compat.proto.event_pb2 import Event

        for summary in values:
            self._put(Event(wall_time=time_ms / 1000, step=step, summary=summary))
            self.tags |= {value.tag: (step, value.SerializeToString()) for value in summary.value}

    def write_new(self, step: int, time_ms: int, *values: Any) -> None:
        """The same of what the tags do not say at this step already."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        each = [value for summary in values for value in summary.value]
        new = [v for v in each if self.tags.get(v.tag) != (step, v.SerializeToString())]
        if new:
            self.write(step, time_ms, Summary(value=new))

    def flush(self) -> None:
        """Has all that was written on the disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _put(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._file is None:
            self._file = self._begun()
        RecordWriter(self._file).write(event.SerializeToString())

    def _begun(self) -> BinaryIO:
        """A file that is read after all others, with its opening events."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        stamp = max(int(time.time()), self._stamp + 1)
        name = f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}.{os.getpid()}.0"
        file = (self.folder / name).open("xb")
        opening = [Event(wall_time=time.time(), file_version="brain.Event:2")]
        if self._purge is not None:
            start = SessionLog(status=SessionLog.START)
            opening.append(Event(wall_time=time.time(), step=self._purge, session_log=start))
        for event in opening:
            RecordWriter(file).write(event.SerializeToString())
        return file

    def _events(self) -> Iterator[Any]:
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event

        for path in sorted(self.folder.glob("events.out.tfevents.*")):
            stamp = path.name.split(".")[3]
            self._stamp = max(self._stamp, int(stamp) if stamp.isdecimal() else 0)
            for record in RawEventFileLoader(str(path)).Load():  # up to one that a kill has cut
                yield Event.FromString(record)

    def _take(self, event: Any) -> None:
        if event.HasField("session_log"):
            self._forget(event.step)
        for value in event.summary.value if event.HasField("summary") else ():
            self.tags[value.tag] = (event.step, value.SerializeToString())
            if value.tag == ITERATION:
                self.last = event.step

    def _forget(self, step: int) -> None:
        self.last = min(self.last, step - 1)
        self.tags = {tag: at for tag, at in self.tags.items() if at[0] < step}


def scalars(values: Mapping[str, float]) -> Any:
    """A summary of numbers; the iteration's comes last."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    ordered = sorted(values.items(), key=lambda item: item[0] == ITERATION)
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in ordered])


def text(tag: str, markdown: str) -> Any:
    """A summary of a text, which TensorBoard shows as markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    plugin = SummaryMetadata.PluginData(plugin_name="text")
    tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()])
    metadata = SummaryMetadata(plugin_data=plugin)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])


def settings(values: Mapping[str, bool | float | str], group: str) -> Any:
    """A summary of a run's settings, which TensorBoard lists under HPARAMS."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    return hparams_pb(dict(values), trial_id=group)
