"""A headless Chromium, driven over the DevTools protocol through a pair of pipes.

The protocol is JSON, each message ended by NUL: https://chromedevtools.github.io/devtools-protocol/
"""

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

LOAD_SECONDS: Final = 60.0
Message = dict[str, Any]
# Nothing that looks for updates or talks to anybody but the page.
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-proxy-server",
    # The page's own server and no other, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    """Return the program, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """A browser with one page; `browsing` makes it."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to_browser = to_browser
        self._from_browser = from_browser
        self._received = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[Message] = []

    def start(self) -> None:
        """Open the page and ask to be told of all that it fetches and says."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> Message:
        """Call a method of the protocol; returns its result."""
        self._send(method, parameters)
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: Message = answer["result"]
                return result
            self.events.append(answer)

    def close(self) -> None:
        """Ask the browser to end."""
        self._session = None
        self._send("Browser.close", {})

    def _send(self, method: str, parameters: Message) -> None:
        self._number += 1
        message: Message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")

    def wait_for(self, found: Callable[[list[Message]], bool]) -> None:
        """Take events until there are those that are wanted."""
        while not found(self.events):
            self.events.append(self._receive())

    def open(self, url: str) -> None:
        """Load a page; what it needs may still be on its way."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for(lambda events: any(e["method"] == "Page.loadEventFired" for e in events))

    def load(self, url: str) -> list[Message]:
        """Load a page and all that it needs; returns the events of that."""
        self.open(url)
        self.wait_for(_is_quiet)
        return list(self.events)

    def evaluate(self, expression: str) -> object:
        """Return what a JavaScript expression, or its promise, gives in the page."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        value: object = result["result"].get("value")
        return value

    def _receive(self) -> Message:
        give_up = time.monotonic() + LOAD_SECONDS
        while b"\0" not in self._received:
            readable, _, _ = select.select([self._from_browser], [], [], LOAD_SECONDS)
            assert readable, "the browser says nothing"
            assert time.monotonic() < give_up, "the browser does not come to an end"
            data = os.read(self._from_browser, 1 << 20)
            assert data, "the browser has ended"
            self._received += data
        raw, _, self._received = self._received.partition(b"\0")
        message: Message = json.loads(raw)
        return message


def _is_quiet(events: list[Message]) -> bool:
    """Whether all that was asked for has come, or failed."""
    asked = {e["params"]["requestId"] for e in events if e["method"] == "Network.requestWillBeSent"}
    done = {
        e["params"]["requestId"]
        for e in events
        if e["method"] in ("Network.loadingFinished", "Network.loadingFailed")
    }
    return asked <= done


@contextmanager
def browsing(program: str, profile: Path) -> Iterator[Browser]:
    """Run a browser for the length of the block, its files in `profile`."""
    their_input, to_browser = os.pipe()
    from_browser, their_output = os.pipe()
    # The browser reads descriptor 3 and writes 4; the shell puts ours there.
    command = f'exec "$@" 3<&{their_input} 4>&{their_output}'
    with (profile.parent / f"{profile.name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", command, "bash", program, *_FLAGS, f"--user-data-dir={profile}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(their_input, their_output),
            env={**os.environ, "HOME": str(profile)},
        )
    os.close(their_input)
    os.close(their_output)
    try:
        browser = Browser(to_browser, from_browser)
        browser.start()
        yield browser
        browser.close()
        process.wait(LOAD_SECONDS)
    finally:
        os.close(to_browser)
        os.close(from_browser)
        if process.poll() is None:
            process.kill()
            process.wait()
