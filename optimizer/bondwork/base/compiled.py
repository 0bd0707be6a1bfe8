"""Compiled code: the one place that makes it, keeps it on disk, and says whether it is there.

A module of kernels puts `kernel` before each function; it is compiled at its first call, or read from where
an earlier process kept it. Kernels that belong together are a `KernelSet`, which knows whether all of it is
there, loads it, and has what is missing compiled in a process of its own (`bondwork.base.compiling`).

Whatever state the cache is in, a kernel can be called: the worst that comes of a cache that is damaged,
read-only or absent is that it is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import json
import os
import pickle
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwork.base.kernel_files import (
    Unwritable,
    cache_folders,
    compile_lock,
    digest_of,
    holds,
    is_entry,
    machine_key,
    read_entry,
    writable_folder,
    write_entry,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.base.compiling import CompileProcess

#: Seconds between two looks at whether compiled code is there.
_POLL = 0.05

#: Names of the files of kernels that this process has read or written, and of those that it could not write.
_in_use: set[str] = set()
_not_kept: set[str] = set()

#: Times that a process that compiles is started again where somebody has killed it.
_MOST_RESTARTS = 3

#: Whether this thread may only read kernels.
_reading = threading.local()

#: Held while kernels are loaded: numba compiles one at a time anyway.
_loading = threading.RLock()


class NotKept(Exception):
    """A kernel would have to be compiled, where there is no time for it."""


def kernel(
    function: Callable[..., Any] | None = None, *, inline: str = "never", error_model: str = "python"
) -> Any:
    """Have a function compiled when it is first called; it lets go of the interpreter while it runs.

    Parameters
    ----------
    function
        A function of arrays, numbers and tuples, as numba takes them.
    inline, error_model
        See `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        # half a second, which is why modules of kernels are imported where they are used
        numba: Any = importlib.import_module("numba")
        dispatcher = numba.njit(nogil=True, inline=inline, error_model=error_model)(function)
        if hasattr(dispatcher, "_cache"):  # a plain function where NUMBA_DISABLE_JIT is set
            dispatcher._cache = _KernelCache(function)
        return dispatcher

    return decorate if function is None else decorate(function)


def import_compiler() -> float:
    """Import numba, which loading compiled code begins with; returns the seconds that took."""
    started = time.perf_counter()
    importlib.import_module("numba")
    return time.perf_counter() - started


class _KernelCache:
    """What numba asks for compiled code, and gives what it has compiled; see `numba.core.caching`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._enabled = True

    @property
    def cache_path(self) -> str | None:
        """Where compiled code goes."""
        try:
            return str(writable_folder())
        except Unwritable:
            return None

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the compiled code of a signature, ``None`` where it has to be compiled."""
        found = self._read(signature, target) if self._enabled else None
        if found is None and getattr(_reading, "only", False):
            raise NotKept(self._name(signature))
        return found

    def _read(self, signature: Any, target: Any) -> Any:
        compiler: Any = importlib.import_module("numba.core.compiler")
        target.refresh()
        name = self._name(signature)
        try:
            content = read_entry(name, _stamp(self._function))
            if content is None:
                return None
            result = compiler.CompileResult._rebuild(target, *pickle.loads(content))
        except Exception:  # whatever a file says: compiling is always right
            return None
        _in_use.add(name)
        return result

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep compiled code, where it can be kept."""
        if not self._enabled or result.library.has_dynamic_globals or any(result.lifted):
            return
        serialize: Any = importlib.import_module("numba.core.serialize")
        name = self._name(signature)
        kept = False
        with contextlib.suppress(Exception):  # it is compiled: that it is not kept must not stop anybody
            kept = write_entry(name, _stamp(self._function), serialize.dumps(result._reduce()))
        (_in_use if kept else _not_kept).add(name)

    def enable(self) -> None:
        """Look for compiled code, and keep it."""
        self._enabled = True

    def disable(self) -> None:
        """Compile always."""
        self._enabled = False

    def flush(self) -> None:
        """Forget nothing: a file that is out of date is overwritten."""

    def _name(self, signature: Any) -> str:
        module = self._function.__module__.removeprefix("bondwork.")
        made_for = hashlib.sha256(f"{machine_key()} {signature}".encode()).hexdigest()[:16]
        return f"{module}.{self._function.__qualname__}-{made_for}.kernel"


def _stamp(function: Callable[..., Any]) -> bytes:
    """Digest of all that a kernel is made from: its source, that of kernels it calls, and their constants."""
    seen: dict[str, str] = {}
    waiting = [function]
    while waiting:
        each = waiting.pop()
        name = f"{each.__module__}.{each.__qualname__}"
        if name in seen:
            continue
        seen[name] = _source(inspect.getfile(each))
        for called in each.__code__.co_names:
            value: Any = each.__globals__.get(called)
            if isinstance(value, (bool, int, float, str, tuple)):
                seen[f"{name}.{called}"] = repr(value)
            elif hasattr(value, "py_func"):
                waiting.append(value.py_func)
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).digest()


@cache
def _source(path: str) -> str:
    """Digest of a file of source."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:  # in an archive: the version stands for it
        from bondwork import __version__

        return str(__version__)


@dataclass(eq=False)
class KernelSet:
    """Kernels that are needed together.

    Attributes
    ----------
    name
        Names the set in the cache and to people.
    loader
        ``package.module:function`` that calls every kernel once, with the types of its real calls; it takes a
        function to be told what it is at.
    """

    name: str
    loader: str
    _loaded: bool = False
    _ready: bool = False
    _process: CompileProcess | None = None
    _said: str = ""
    _doubted: bool = False
    _restarts: int = 0
    _beginning: threading.Lock = field(default_factory=threading.Lock)

    @property
    def loaded(self) -> bool:
        """Whether this process has loaded the set."""
        return self._loaded

    def ready(self) -> bool:
        """Whether loading takes no more than reading files: all of it is compiled, and undamaged."""
        if self._loaded or self._ready or os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            return True
        if self._doubted and (self._process is None or self._process.code != 0):
            return False  # it said so before, and was not
        try:
            content = read_entry(self._list_name(), self._sources())
            files = {} if content is None else json.loads(content)
            self._ready = bool(files) and all(is_entry(name, digests) for name, digests in files.items())
        except Exception:  # numba itself is missing, say: compiling will tell why
            self._ready = False
        return self._ready

    def load(self, tell: Callable[[str], None] = lambda _: None, *, compiling: bool = True) -> float:
        """Load the set, and compile what is missing, in this process; returns the seconds that took.

        Parameters
        ----------
        tell
            Told what is being compiled or loaded.
        compiling
            Whether there is time to compile. What `ready` says can be wrong: files are lost between two
            looks, or damaged by somebody who writes their digests as well.

        Raises
        ------
        NotKept
            Something is missing, and there is no time for it. `begin` has it compiled elsewhere.
        """
        with _loading:
            if self._loaded:
                return 0.0
            started = time.perf_counter()
            module, _, name = self.loader.partition(":")
            _reading.only = not compiling
            try:
                getattr(importlib.import_module(module), name)(tell)
            except NotKept:
                self._ready, self._doubted = False, True
                raise
            finally:
                _reading.only = False
            if not self.ready():
                self._list_files()
            self._loaded = True
            if self._process is not None:
                self._process.end()  # there is nothing left for it to do
                self._process = None
            return time.perf_counter() - started

    def begin(self) -> bool:
        """Have what is missing compiled in a process of its own; says whether that is under way.

        One process at a time compiles into a cache: where another one is at it, this waits for what it makes,
        and begins when that one has ended without. There is none where the cache cannot be written.
        """
        from bondwork.base.compiling import CompileProcess

        with self._beginning:
            process = self._process
            if process is not None and process.running:
                return True
            killed = process is not None and process.was_killed
            if killed and self._restarts < _MOST_RESTARTS:
                self._restarts += 1  # it goes on from what is kept
            elif process is not None and not process.left_to_another:
                # asked again although it is done: what it compiled could not be kept, or is lost again
                self._said = f"the process that compiles ended with code {process.code}"
                if process.code == 0:
                    self._said = "what was compiled could not be kept"
                return False
            try:
                writable_folder()
            except Unwritable as error:
                self._said = error.strerror or str(error)
                return False
            with compile_lock() as mine:
                if not mine:
                    return True
            try:
                self._process = CompileProcess(self)
            except OSError as error:
                self._said = f"no process could be started to compile: {error}"
                return False
            return True

    def folders(self) -> list[Path]:
        """Where the set is kept."""
        return [each for each in cache_folders() if holds(each, self._list_name())]

    @property
    def why_not(self) -> str:
        """Why nothing is being compiled beside this process, after `begin` said so."""
        return self._said

    def wait(self, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Load the set as soon as it is there, however long it takes; false where asked to stop before."""
        while not self.ready():
            if should_stop():
                return False
            if not self.begin():
                break  # what follows compiles in this process
            time.sleep(_POLL)
        self.load()
        return True

    def forget_process(self) -> None:
        """Let go of what the process that this one was forked from has begun."""
        self._beginning, self._process, self._doubted = threading.Lock(), None, False

    def _list_name(self) -> str:
        return f"{self.name}-{machine_key()}.list"

    def _list_files(self) -> None:
        """Write down which files the set consists of, where all could be kept."""
        package = self.loader.partition(":")[0].removeprefix("bondwork.").rpartition(".")[0] + "."
        names = sorted(name for name in _in_use if name.startswith(package))
        found = {name: digest_of(name) for name in names}
        if all(found.values()) and not any(name.startswith(package) for name in _not_kept):
            write_entry(self._list_name(), self._sources(), json.dumps(found).encode())

    def _sources(self) -> bytes:
        """Digest of all sources that the set may have been made from; known without importing any."""
        package = Path(__file__).resolve().parents[1]
        home = package.joinpath(*self.loader.partition(":")[0].split(".")[1:-1])
        files = sorted({*home.glob("*.py"), *Path(__file__).parent.glob("*.py")})
        return hashlib.sha256("\n".join([str(len(files)), *map(_source, map(str, files))]).encode()).digest()


#: Every set there is, by name.
KERNEL_SETS = {
    each.name: each
    for each in (
        KernelSet("lagrangian", "bondwork.strategies.lagrangian.loading:load_kernels"),
        KernelSet("simulation", "bondwork.simulation.loading:load_kernels"),
        KernelSet("reputation", "bondwork.reputation.loading:load_kernels"),
    )
}


def _begin_afresh() -> None:
    """Begin a forked process with locks that nobody holds, and with no compile process of another's."""
    global _loading  # noqa: PLW0603
    _loading = threading.RLock()
    for each in KERNEL_SETS.values():
        each.forget_process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_afresh)
