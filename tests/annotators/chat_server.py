"""A chat endpoint on this machine: it answers as a test says, and keeps what it was asked."""

import json
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ChatServer:
    """`reply(question) -> str | dict | tuple[int, str]`: the text of the verdict, a whole body, or
    a status with one. `first`: (status, headers) of so many requests before that."""

    def __init__(self, reply):
        self.reply, self.first, self.asked, self.keys = reply, [], [], []
        self.models, self.slow, self.usage = 200, 0.0, {"prompt_tokens": 50, "completion_tokens": 1}
        self.url = ""
        self.lock = threading.Lock()

    def answer(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self.lock:
            self.asked.append(body)
            early = self.first.pop(0) if self.first else None
        if self.slow:
            time.sleep(self.slow)
        if early is not None:
            return send(handler, early[0], "wait a moment", early[1])
        given = self.reply(body["messages"][-1]["content"])
        if isinstance(given, tuple):
            return send(handler, *given)
        if isinstance(given, str):
            message = {"role": "assistant", "content": given}
            given = {"model": "fake-1", "choices": [{"message": message}]}
            given |= {"usage": self.usage} if self.usage else {}
        return send(handler, 200, json.dumps(given))


def send(handler, status, text, headers=()):
    data = text.encode()
    handler.send_response(status)
    for name, value in dict(headers).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


@contextmanager
def serving(reply):
    """The server, at `url` while the context lasts."""
    server = ChatServer(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            server.keys.append(self.headers.get("Authorization"))
            with suppress(OSError):  # whoever asked has left
                server.answer(self)

        def do_GET(self):
            server.keys.append(self.headers.get("Authorization"))
            send(self, server.models, "[]")

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
