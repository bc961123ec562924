"""What the libraries cost before a run begins: most of a command's seconds are spent in their
imports.

Lightning asks torchmetrics for two base classes, and gets scipy.signal, its text and audio metrics
and matplotlib with them; transformers asks scipy.optimize for one function. `lean` puts the real
module in place with what is asked for; its own code runs when anything else of it is.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any


@contextmanager
def quick_imports() -> Iterator[None]:
    """Within it modules are imported without the pauses of the garbage collector (a fifth of the
    time: nearly all that imports make stays) and without what nobody asked for.

    What was made is left out of later collections (`gc.freeze`), and so is all that was there: for
    processes of our own, not for a notebook's.
    """
    before = len(sys.modules)
    with uncollected():
        lean_metrics()
        lean("scipy.optimize", {}, calls=("linear_sum_assignment",))
        yield
        if len(sys.modules) > before:
            gc.freeze()


@contextmanager
def uncollected() -> Iterator[None]:
    """Within it the garbage collector rests: for work that makes many objects, and keeps them."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def lean_metrics() -> None:
    """Puts torchmetrics in place with what Lightning needs of it. The classes are the real ones, so
    that metrics of a user's own work as ever. Where it was imported before, is missing or is laid
    out otherwise, nothing is done."""
    name = "torchmetrics"
    module = lean(name, {"_logger": logging.getLogger(name)})  # its parts ask for that
    if module is None:
        return
    types = {"_AX_TYPE": object, "_PLOT_OUT_TYPE": object}  # matplotlib's, in annotations alone
    try:
        lean(f"{name}.utilities.plot", types, calls=("plot_single_or_multi_val",))
        utilities = import_module(f"{name}.utilities")  # the others need it first
        vars(utilities).setdefault("plot", sys.modules[f"{name}.utilities.plot"])
        vars(module).update(
            __version__=import_module(f"{name}.__about__").__version__,
            Metric=import_module(f"{name}.metric").Metric,
            MetricCollection=import_module(f"{name}.collections").MetricCollection,
        )
    except (ImportError, AttributeError, KeyError):
        for part in [part for part in sys.modules if part.partition(".")[0] == name]:
            del sys.modules[part]


def lean(
    name: str, given: Mapping[str, object], *, calls: tuple[str, ...] = ()
) -> ModuleType | None:
    """The module `name`, in `sys.modules`, with the names that are given; its code runs when it is
    asked for another (PEP 562), or when one of `calls`, its functions, is called.

    None, and nothing is done, where it is imported already or is not there.
    """
    spec = None if name in sys.modules else spec_of(name)
    if spec is None or spec.loader is None:
        return None
    module, loader, lock = module_from_spec(spec), spec.loader, RLock()
    whole = False

    def load() -> None:
        nonlocal whole
        with lock:
            if whole:
                return
            whole = True
            try:
                import_module(name.partition(".")[0])
                loader.exec_module(module)
            except BaseException:
                whole = False  # whoever asks next is told the same
                raise

    def rest(asked: str) -> Any:
        if asked == "__all__" or not asked.startswith("__"):
            load()
        if asked in vars(module):
            return vars(module)[asked]
        raise AttributeError(f"module {name!r} has no attribute {asked!r}")

    def call(function: str) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            load()  # from then on the module's own stands there
            return vars(module)[function](*args, **kwargs)

        return forward

    vars(module).update(given, __getattr__=rest, **{function: call(function) for function in calls})
    sys.modules[name] = module
    return module


def spec_of(name: str) -> ModuleSpec | None:
    """Where a module is; the packages that it is in are not imported for that, as `find_spec`
    does."""
    top, *inner = name.split(".")
    spec = find_spec(top)
    for depth in range(2, len(inner) + 2):
        places = spec and spec.submodule_search_locations
        if not places:
            return None
        spec = PathFinder.find_spec(".".join([top, *inner][:depth]), [*places])
    return spec
