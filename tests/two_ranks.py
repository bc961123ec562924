"""Runs a function on two ranks of gloo, forked from this process: one thread each, so nothing is
lost in the fork."""

import multiprocessing
import os
import pickle
import tempfile
import traceback
from datetime import timedelta
from pathlib import Path

SECONDS = 60


def on_two_ranks(function, *arguments):
    """What `function(rank, *arguments)` gives on rank 0 and on rank 1, in one process group."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        target, own = _rank, (function, arguments, Path(folder))
        processes = [context.Process(target=target, args=(rank, *own)) for rank in (0, 1)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(SECONDS)
        for process in processes:
            if process.is_alive():
                process.kill()
        results = [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in (0, 1)]
    for result in results:
        if isinstance(result, str):
            raise AssertionError(result)
    return [value for (value,) in results]


def _rank(rank, function, arguments, folder):
    import torch.distributed as dist

    try:
        store = dist.FileStore(str(folder / "store"), 2)
        dist.init_process_group(
            "gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=SECONDS / 3)
        )
        result = (function(rank, *arguments),)
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        result = traceback.format_exc()
    (folder / str(rank)).write_bytes(pickle.dumps(result))
    os._exit(0)
