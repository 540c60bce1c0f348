"""Wires a server together and runs it: sockets, sites, an engine, signals."""

import gc
import logging
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from socket import socket
from threading import Event
from types import FrameType
from typing import Final

from ashttpd.accesslog import AccessLog
from ashttpd.aio import engine as aio
from ashttpd.aio.engine import AioEngine
from ashttpd.aio.files import Io
from ashttpd.budget import Budget, FilesNeeded, allowed_files, divide
from ashttpd.config import AUTO, MODELS, Config
from ashttpd.engine import Engine, EngineThread, UnusableError
from ashttpd.epoll.extents import SEND_BODY
from ashttpd.errorlog import FLUSH_SECONDS
from ashttpd.http.limits import Limits
from ashttpd.listen import describe, listen
from ashttpd.threads import engine as threads
from ashttpd.threads.engine import ThreadsEngine
from ashttpd.uring import engine as uring
from ashttpd.uring.engine import UringEngine
from ashttpd.vhosts.follow import Follower
from ashttpd.vhosts.names import read_names
from ashttpd.vhosts.room import Room
from ashttpd.vhosts.watch import Watch
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot

log = logging.getLogger(__name__)

# How often signals are looked at.
SIGNAL_SECONDS: Final = 0.4
# The server listens without the sites that are still being opened when for so long none was opened
# or refused: one that hangs must not keep the others from being served.
START_SECONDS: Final = 60.0
# How many objects are made before the young ones, and how often until all, are looked through for
# cycles (gc.set_threshold). Answers are kept, and hardly any request leaves a cycle: with Python's
# own numbers that look is 3 % of what a body off a disk costs, and holds everybody up meanwhile.
GC_THRESHOLDS: Final = (20_000, 20, 20)
# Why the server ends, where no signal asked for it.
_ERROR: Final = "an error"
_FILES_NEEDED: Final[Mapping[str, Callable[[int], FilesNeeded]]] = {
    "threads": threads.files_needed,
    "aio": aio.files_needed,
    "uring": uring.files_needed,
}


class _Signals:
    """Remembers which signals came."""

    def __init__(self) -> None:
        self.stop = 0
        self.reopen = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reopen)

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        self.stop = number
        # A second one means it: the drain is cut short.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _on_reopen(self, _number: int, _frame: FrameType | None) -> None:
        self.reopen = True


def _raise_file_limit() -> None:
    """Take as many descriptors as we are allowed: connections should not fail at 1,024."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _divide_files(config: Config, model: str) -> Budget:
    """Return what the limit of open files leaves for connections; raises FilesError.

    Every name of the directory that is a host counts as a site, whatever its file is.
    """
    try:
        sites = len(read_names(os.listdir(config.vhosts)).hosts)
    except OSError:
        sites = 0  # the watch tells of it
    needs = _FILES_NEEDED[model](config.threads)
    return divide(allowed_files(), needs, sites, len(config.addresses))


def _share_out(budget: Budget, limits: Limits, watch: Watch) -> Limits:
    """Return the limits with a number of connections that the open files allow.

    The watch is told how many webroots they allow.
    """
    most, wanted = budget.connections, limits.max_connections
    if wanted > most:
        log.warning(
            "--max-connections %d: the limit of open files leaves room for %d; raise that limit "
            "(ulimit -Hn, or LimitNOFILE= of systemd)",
            wanted,
            most,
        )
    connections = min(wanted or most, most)
    waiting = min(budget.waiting, connections)
    budget = replace(budget, connections=connections, waiting=waiting)
    log.info("%s", budget)
    watch.room = Room(budget.most_webroots, budget.allowed)
    return replace(limits, max_connections=connections)


def _wait_for_stop(signals: _Signals, access_log: AccessLog | None, engine: Engine) -> None:
    """Do what signals ask for until one ends it, or a thread of the engine has failed."""
    while not signals.stop and not engine.failed:
        time.sleep(SIGNAL_SECONDS)
        _heed_reopen(signals, access_log)


def _heed_reopen(signals: _Signals, access_log: AccessLog | None) -> None:
    if signals.reopen:
        # First: a signal that comes behind this line is another request.
        signals.reopen = False
        if access_log is not None:
            access_log.reopen()


@contextmanager
def _heeding_reopen(signals: _Signals, access_log: AccessLog | None) -> Iterator[None]:
    """Open the access log anew when a signal asks for it, while this thread waits."""
    is_over = Event()

    def heed() -> None:
        while not is_over.wait(SIGNAL_SECONDS):
            _heed_reopen(signals, access_log)

    thread = EngineThread("signals", heed)
    with suppress(OSError):  # there is no thread to be had, and a drain goes on without it
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.finish()
    _heed_reopen(signals, access_log)


def _make_engine(
    config: Config,
    budget: Budget,
    listeners: Sequence[socket],
    watch: Watch,
    access_log: AccessLog | None,
) -> Engine:
    """Return the engine that is asked for, or the best that works.

    Raises UnusableError, and FilesError where another one than `budget` is for needs too many.
    """
    limits = _share_out(budget, config.limits, watch)
    if config.model == "aio":
        engine = AioEngine(listeners, watch, limits, access_log, Io(config.io))
        watch.check_webroot = _preparing(engine)
        return engine
    if config.model in ("uring", AUTO):
        try:
            ring = UringEngine(listeners, watch, limits, access_log)
        except UnusableError as error:
            if config.model != AUTO:
                raise
            log.info("model threads, since uring cannot be had: %s", error)
            limits = _share_out(_divide_files(config, "threads"), config.limits, watch)
        else:
            log.info("model uring")
            return ring
    send_body = SEND_BODY[config.io or MODELS["threads"][0]]
    return ThreadsEngine(listeners, watch, limits, config.threads, send_body, access_log)


def _preparing(engine: AioEngine) -> Callable[[Webroot], None]:
    """Return what opens a site's file as the engine needs it, which may wait, fail or hang."""

    def prepare(webroot: Webroot) -> None:
        try:
            engine.open(webroot)
        except UnusableError as error:
            raise WebrootError(str(error)) from error

    return prepare


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status.

    Raises AddressError, FilesError, LogFileError, UnusableError and OSError for what keeps the
    server from starting.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    _raise_file_limit()
    signals = _Signals()
    signals.install()
    with ExitStack() as stack:
        listeners = [stack.enter_context(listen(address)) for address in config.addresses]
        access_log = _open_access_log(config.access_log)
        if access_log is not None:
            # Whatever keeps the server from starting is not held up.
            stack.callback(access_log.close, 0)
        budget = _divide_files(config, "uring" if config.model == AUTO else config.model)
        watch = Watch(config.vhosts)
        # Before any site is opened: it says what files must be like, and how many there may be.
        engine = _make_engine(config, budget, listeners, watch, access_log)
        watch.check(START_SECONDS, lambda: bool(signals.stop))
        if signals.stop:
            name = signal.Signals(signals.stop).name
            log.info("%s: the server ends, before it has answered anything", name)
            return 0
        if not watch.current.webroots:
            log.warning("%s holds no site yet; every request gets 404", config.vhosts)
        watch.on_change = engine.distrust
        follower = Follower(watch, config.vhosts)
        try:
            engine.start()
            for listener in listeners:
                log.info("listening on %s", describe(listener))
            follower.start()
        except BaseException:
            # The threads that run would keep the process, and this one would not heed signals.
            engine.drain(0)
            raise
        reason = _attend(signals, access_log, engine)
        follower.stop()
        deadline = time.monotonic() + config.drain_seconds
        with _heeding_reopen(signals, access_log):
            _drain(engine, config.drain_seconds, reason)
        if access_log is not None:
            access_log.close(max(FLUSH_SECONDS, deadline - time.monotonic()))
    return 1 if reason == _ERROR or engine.failed else 0


def _open_access_log(place: str | None) -> AccessLog | None:
    if place is None:
        return None
    return AccessLog(None if place == "-" else Path(place))


def _attend(signals: _Signals, access_log: AccessLog | None, engine: Engine) -> str:
    """Do what signals ask for until the server is to end; returns the reason."""
    try:
        _wait_for_stop(signals, access_log, engine)
    except Exception:
        # Without this loop no signal would be heeded any more.
        log.critical("the server ends: this is a bug of ashttpd", exc_info=True)
        return _ERROR
    return signal.Signals(signals.stop).name if signals.stop else "a thread has failed"


def _drain(engine: Engine, seconds: float, reason: str) -> None:
    """Finish what is under way."""
    log.info("%s: draining, for %g s at most", reason, seconds)
    if engine.drain(seconds):
        log.info("drained")
    else:
        log.warning("%g s are over; what was still being sent is cut off", seconds)
