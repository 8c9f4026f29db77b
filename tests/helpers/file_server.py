"""A small server on this machine whose answers tests may change."""

import gzip
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = gzip.compress(os.urandom(300_000), compresslevel=0)


class Server(ThreadingHTTPServer):
    """Serves `files`; tests change how."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/data.json.gz": BODY}
        self.etags = True
        self.ranges = True
        self.looks_at_if_range = True
        self.drop_after = []  # bytes after which the next answers break off
        self.statuses = []  # of the next answers
        self.headers = {}
        self.seen = []

    def url(self, name="data.json.gz"):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.seen.append(dict(self.headers))
        body = server.files.get(self.path)
        if server.statuses and (status := server.statuses.pop(0)) != 200:
            return self.send_error(status)
        if body is None:
            return self.send_error(404)
        etag = f'"{hash(body)}"'
        start, whole = 0, len(body)
        asked = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        fits = condition in (None, etag) or not server.looks_at_if_range
        if asked and server.ranges and fits:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= whole:
                return self.send_error(416)
        body = body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in server.headers.items():
            self.send_header(name, value)
        if server.etags:
            self.send_header("ETag", etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.end_headers()
        self.wfile.write(body[: server.drop_after.pop(0)] if server.drop_after else body)
        return None


@contextmanager
def serving():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
