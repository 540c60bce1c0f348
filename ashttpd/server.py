"""Wires a server together and runs it: sockets, sites, an engine, signals."""

import gc
import logging
import resource
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Final

from ashttpd.accesslog import AccessLog
from ashttpd.aio.engine import AioEngine
from ashttpd.aio.files import Io
from ashttpd.config import AUTO, MODELS, Config, default_connections
from ashttpd.engine import Engine, UnusableError
from ashttpd.epoll.extents import SEND_BODY
from ashttpd.errorlog import FLUSH_SECONDS
from ashttpd.http.limits import Limits
from ashttpd.listen import describe, listen
from ashttpd.threads.engine import ThreadsEngine
from ashttpd.uring.engine import UringEngine
from ashttpd.vhosts.follow import Follower
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


def _with_connections(limits: Limits) -> Limits:
    """Return the limits with a number of connections, which the limit of open files allows."""
    most = default_connections()
    if limits.max_connections > most:
        log.warning(
            "--max-connections %d: the limit of open files leaves room for %d; raise it",
            limits.max_connections,
            most,
        )
    return replace(limits, max_connections=limits.max_connections or most)


def _wait_for_stop(signals: _Signals, access_log: AccessLog | None) -> None:
    """Do what signals ask for until one ends it."""
    while not signals.stop:
        time.sleep(SIGNAL_SECONDS)
        if signals.reopen:
            # First: a signal that comes behind this line is another request.
            signals.reopen = False
            if access_log is not None:
                access_log.reopen()


def _make_engine(
    config: Config, listeners: Sequence[socket], watch: Watch, access_log: AccessLog | None
) -> Engine:
    """Return the engine that is asked for, or the best that works; raises UnusableError."""
    limits = _with_connections(config.limits)
    if config.model == "aio":
        engine = AioEngine(listeners, watch, limits, access_log, Io(config.io))
        _prepare_files(watch, engine)
        return engine
    if config.model in ("uring", AUTO):
        try:
            uring = UringEngine(listeners, watch, limits, access_log)
        except UnusableError as error:
            if config.model != AUTO:
                raise
            log.info("model threads, since uring cannot be had: %s", error)
        else:
            log.info("model uring")
            return uring
    send_body = SEND_BODY[config.io or MODELS["threads"][0]]
    return ThreadsEngine(listeners, watch, limits, config.threads, send_body, access_log)


def _prepare_files(watch: Watch, engine: AioEngine) -> None:
    """Open each site's file as the engine needs it, those to come too, which may be refused.

    Raises UnusableError and OSError where one that is there already cannot be opened so.
    """

    def prepare(webroot: Webroot) -> None:
        try:
            engine.open(webroot)
        except UnusableError as error:
            raise WebrootError(str(error)) from error

    for webroot in watch.current.webroots.values():
        engine.open(webroot)
    watch.check_webroot = prepare


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status.

    Raises AddressError, LogFileError, UnusableError and OSError for what keeps the server from
    starting.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    _raise_file_limit()
    signals = _Signals()
    signals.install()
    with ExitStack() as stack:
        listeners = [stack.enter_context(listen(address)) for address in config.addresses]
        access_log = None
        if config.access_log is not None:
            path = None if config.access_log == "-" else Path(config.access_log)
            access_log = AccessLog(path)
            # Whatever keeps the server from starting is not held up.
            stack.callback(access_log.close, 0)
        watch = Watch(config.vhosts)
        watch.check(START_SECONDS, lambda: bool(signals.stop))
        if not watch.current.webroots:
            log.warning("%s holds no site yet; every request gets 404", config.vhosts)
        engine = _make_engine(config, listeners, watch, access_log)
        watch.on_change = engine.distrust
        follower = Follower(watch, config.vhosts)
        engine.start()
        for listener in listeners:
            log.info("listening on %s", describe(listener))
        follower.start()
        _wait_for_stop(signals, access_log)
        follower.stop()
        deadline = time.monotonic() + config.drain_seconds
        _drain(engine, config.drain_seconds, signal.Signals(signals.stop).name)
        if access_log is not None:
            access_log.close(max(FLUSH_SECONDS, deadline - time.monotonic()))
    return 0


def _drain(engine: Engine, seconds: float, reason: str) -> None:
    """Finish what is under way."""
    log.info("%s: draining, for %g s at most", reason, seconds)
    if engine.drain(seconds):
        log.info("drained")
    else:
        log.warning("%g s are over; what was still being sent is cut off", seconds)
