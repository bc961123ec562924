"""Headless Chromium over its debugging pipe: enough of the DevTools protocol to open a page, ask
it things and point at them."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

# Chromium reads commands from descriptor 3 and answers on 4
START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
    " os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    def __init__(self, profile: Path) -> None:
        low, self._send = os.pipe()
        self._receive, lower = os.pipe()
        read_end, write_end = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (low, lower))
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            "--no-first-run",
            "--hide-scrollbars",
        ]
        words = [
            sys.executable,
            "-c",
            START,
            str(read_end),
            str(write_end),
            shutil.which("chromium"),
            *flags,
            f"--user-data-dir={profile}",
        ]
        self._process = subprocess.Popen(
            words,
            pass_fds=(read_end, write_end),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (low, lower, read_end, write_end):
            os.close(end)
        self._buffer, self._count, self._session = b"", 0, None
        self.requests: list[str] = []  # every address that a page asked for
        self.complaints: list[str] = []  # exceptions and errors on its console

    def call(self, method: str, **params):
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session and not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._next()
            if reply.get("id") == self._count:
                assert "error" not in reply, reply
                return reply["result"]
            self._note(reply)

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        # a page that scrolls smoothly moves away from under the mouse
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        colours = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[colours, still])
        self.call("Page.navigate", url=path.as_uri())
        while (
            self.ask("document.readyState") != "complete"
            or self.ask("location.href") == "about:blank"
        ):
            pass

    def ask(self, expression: str):
        """The value of a JavaScript expression in the page."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def point(self, selector: str, event: str = "mouseMoved") -> None:
        """Move the mouse onto the middle of an element, or press and release it there."""
        spot = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center', behavior: 'instant'}); const b ="
            " e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        x, y = self.ask(spot)
        # the scroll's own event first
        self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        kinds = (
            ["mouseMoved"]
            if event == "mouseMoved"
            else ["mouseMoved", "mousePressed", "mouseReleased"]
        )
        for kind in kinds:
            press = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **press)

    def key(self, name: str) -> None:
        code = {"Tab": 9, "Escape": 27, "Enter": 13, "ArrowRight": 39}[name]
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code
            )

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        try:
            self._session = None
            self.call("Browser.close")
        finally:
            self._process.terminate()
            self._process.wait(timeout=20)
            os.close(self._send)
            os.close(self._receive)

    def _next(self):
        while b"\0" not in self._buffer:
            more = os.read(self._receive, 1 << 16)
            if not more:
                raise ConnectionError("Chromium closed its pipe")
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, message) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])
