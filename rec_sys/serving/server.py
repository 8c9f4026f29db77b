"""Starts the web service, takes up other bundles while it runs, and ends it."""

import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import SimpleQueue

import uvicorn
from fastapi import FastAPI
from omegaconf import DictConfig

from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import MANIFEST
from rec_sys.inference.bundle import CREATE_COMMAND, VECTORBASE
from rec_sys.modules.inference_backends import BackendUnavailable
from rec_sys.serving.access import Access
from rec_sys.serving.api import LOOPBACK, Components, create_app
from rec_sys.serving.encoding import Busy
from rec_sys.serving.http_protocol import AT_ONCE, BACKLOG, LimitedProtocol
from rec_sys.serving.limits import LEAST_THREADS, Limits
from rec_sys.serving.prometheus import Metrics
from rec_sys.serving.service import Service, ServingSettings
from rec_sys.serving.user_store import UserStore

log = logging.getLogger(__name__)

_GRACE_SECONDS = 10
# Threads that compute hand Python on so soon: the loop, which answers for health, waits less.
_SWITCH_SECONDS = 0.001
_GC_THRESHOLDS = (700, 10, 10)  # as Python has them


def serve(config: DictConfig) -> None:
    """Serves until told to stop; InputError for a bad setting, bundle, store or address."""
    components = build_components(config)
    settings = components.settings
    listener = listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    failed: list[InputError] = []

    def start() -> None:
        try:
            if components.service.start():
                components.is_ready()  # the first look, which takes longest, waits for nobody
                gc.freeze()  # looked through for garbage, what is there would keep the loop, too
                note(f"ready: {address}")
        except InputError as error:
            failed.append(error)
            server.should_exit = True  # this will not pass by itself

    server = server_of(create_app(components, start), settings.limits)
    # Amid its own `put`, too: signals come while others are handled.
    wanted: SimpleQueue[None] = SimpleQueue()
    sys.setswitchinterval(_SWITCH_SECONDS)
    # Commands look for garbage seldom, among many objects: the loop would wait for 0.2 s each time.
    gc.set_threshold(*_GC_THRESHOLDS)
    signal.signal(signal.SIGHUP, lambda *_: wanted.put(None))
    threading.Thread(target=_reload_when, args=[wanted, components], daemon=True).start()
    note(f"serving on {address} (stop with Ctrl-C)")
    try:
        with _log_written_aside():
            server.run(sockets=[listener])
    except KeyboardInterrupt:  # raised again by uvicorn when all is closed
        note("stopped")
    if failed:
        raise failed[0]


@contextmanager
def _log_written_aside() -> Iterator[None]:
    """The loop, which answers for health, waits for no disk."""
    root, queue = logging.getLogger(), SimpleQueue()
    handlers = root.handlers
    writer = QueueListener(queue, *handlers, respect_handler_level=True)
    root.handlers = [QueueHandler(queue)]
    writer.start()
    try:
        yield
    finally:
        root.handlers = handlers
        writer.stop()


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():  # asyncio has as many wait as it takes in one go
            each.listen(BACKLOG)


def server_of(app: FastAPI, limits: Limits) -> uvicorn.Server:
    """The server of an application, which keeps connections within their limits."""
    app.openapi()  # makes the routes whole, for which the first request would keep all waiting
    return _Server(
        uvicorn.Config(
            app,
            # Its own log of requests holds paths, and with them what people searched for.
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            server_header=False,
            http=LimitedProtocol.within(limits),
            backlog=AT_ONCE,
            loop="rec_sys.serving.http_protocol:_new_loop",
            ws="none",
            proxy_headers=False,
        )
    )


def build_components(config: DictConfig) -> Components:
    """Opens bundle and store; InputError if a setting or one of them cannot be used."""
    settings = ServingSettings.of(config.serving)
    limits = settings.limits
    keys = settings.api_key, settings.admin_key, settings.keys_file, settings.person_secret
    access = Access(*keys, limits.requests_per_minute, limits.person_requests_per_minute)
    if settings.host not in LOOPBACK and access.is_open:
        why = "other machines could read and delete what everybody wrote"
        remedy = "set REC_SYS_API_KEY or serving.keys_file, or leave serving.host=127.0.0.1"
        raise InputError(f"serving.host={settings.host}: {why}; {remedy}")
    if not access.is_open and limits.threads < LEAST_THREADS:
        why = f"with keys {LEAST_THREADS} at least: one that asks for much must leave one free"
        raise InputError(f"serving.limits.threads={limits.threads}: {why}")
    folder = Path(config.paths.bundle_dir)
    if not (folder / MANIFEST).is_file():
        note(f"{folder}: no bundle yet, making it")
        from rec_sys.serving.create_bundle import create_bundle

        create_bundle(config)
    service = Service(folder, settings)
    bundle, index = service.bundle, Path(config.paths.vectorbase_dir)
    note(f"bundle: {bundle.description}")
    built, served = index / MANIFEST, bundle.folder / VECTORBASE / MANIFEST
    if built.is_file() and built.read_bytes() != served.read_bytes():
        note(f"{index}: holds another index; to serve that one: {CREATE_COMMAND}")
    connections = max(1, limits.threads // 2) + 1  # and one to see whether it works
    store = UserStore(settings.store, settings.store_seconds, connections, limits.kept_reviews)
    return Components(service, store, Metrics(), settings, access)


def _reload_when(wanted: "SimpleQueue[None]", components: Components) -> None:
    """Takes up the bundle whenever it is wanted; all that want it meanwhile get one more."""
    while True:
        wanted.get()
        while not wanted.empty():
            wanted.get()
        reload_service(components)


def reload_service(components: Components) -> None:
    """Takes up the bundle that is in the folder now, or says why the old one stays."""
    try:
        note(f"reloaded: model {components.service.reload().model_label}")
    except (InputError, BackendUnavailable, Busy) as error:
        log.error("the old bundle stays in use: %s", error)


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections, or an `InputError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Told that it is TCP, or asyncio would not switch off Nagle's algorithm: 40 ms per answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, TypeError, ValueError) as error:  # what is no name for any host, too
        listener.close()
        why = f"cannot be listened on ({getattr(error, 'strerror', None) or error})"
        remedy = "name another port, or 0 for any free one"
        raise InputError(f"serving.host={host} serving.port={port}: {why}; {remedy}") from None
    return listener
