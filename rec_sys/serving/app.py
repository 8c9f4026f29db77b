"""The web service: ``uv run -m rec_sys.serving.app``.

The whole story is `serve`: a bundle (made if there is none), a store, an application, a server.
PyTorch is imported only if the bundle has to be made.
"""

import logging
import os
import signal
import socket
import threading
from pathlib import Path

import uvicorn
from omegaconf import DictConfig

from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.inference.backends import BackendUnavailable
from rec_sys.serving.api import LOOPBACK, Components, create_app
from rec_sys.serving.bundle import CREATE_COMMAND, MANIFEST, VECTORBASE, Bundle
from rec_sys.serving.metrics import Metrics
from rec_sys.serving.service import Service, ServingSettings
from rec_sys.serving.user_store import UserStore

log = logging.getLogger(__name__)

_GRACE_SECONDS = 10


def serve(config: DictConfig) -> None:
    """Serves until it is told to stop.

    Raises:
        InputError: A setting, the bundle, the store or the address cannot be used.
    """
    components = build_components(config)
    settings = components.settings
    if settings.host not in LOOPBACK and not settings.api_key:
        log.warning("serving.host=%s without a serving.api_key: anybody may ask", settings.host)
    listener = _listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    app = create_app(components, lambda: start_service(components, address))
    note(f"serving on {address} (stop with Ctrl-C)")
    server = uvicorn.Config(
        app,
        # Its own log of requests holds paths, and with them what people searched for.
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        server_header=False,
    )
    # In a thread, so that the signal handler returns at once and requests go on meanwhile.
    signal.signal(
        signal.SIGHUP, lambda *_: threading.Thread(target=reload_service, args=[components]).start()
    )
    try:
        uvicorn.Server(server).run(sockets=[listener])
    except KeyboardInterrupt:  # raised again by uvicorn when all is closed
        note("stopped")


def build_components(config: DictConfig) -> Components:
    """Opens bundle and store.

    Raises:
        InputError: A setting, the bundle or the store cannot be used.
    """
    settings = ServingSettings.of(config.serving)
    folder = Path(config.paths.bundle_dir)
    if not (folder / MANIFEST).is_file():
        note(f"{folder}: no bundle yet, making it")
        from rec_sys.serving.create_bundle import create_bundle

        create_bundle(config)
    service = Service(folder, settings)
    _tell_bundle(service.bundle, Path(config.paths.vectorbase_dir))
    return Components(service, UserStore(settings.store), Metrics(), settings)


def _tell_bundle(bundle: Bundle, vectorbase_dir: Path) -> None:
    """Says what is served, and whether there are other products by now."""
    note(f"bundle: {bundle.description}")
    built, served = vectorbase_dir / MANIFEST, bundle.folder / VECTORBASE / MANIFEST
    if built.is_file() and built.read_bytes() != served.read_bytes():
        note(f"{vectorbase_dir}: holds another index; to serve that one: {CREATE_COMMAND}")


def start_service(components: Components, address: str) -> None:
    """Makes the service ready, however long its models' server takes to come up."""
    try:
        if components.start():
            note(f"ready: {address}")
    except InputError as error:
        log.error("%s", error)
        os.kill(os.getpid(), signal.SIGTERM)  # this will not pass by itself


def reload_service(components: Components) -> None:
    """Takes up the bundle that is in the folder now, or says why the old one stays."""
    try:
        bundle = components.reload()
    except (InputError, BackendUnavailable) as error:
        log.error("the old bundle stays in use: %s", error)
    else:
        note(f"reloaded: model {bundle.model_label}")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Told that it is TCP, or asyncio would not switch off Nagle's algorithm: 40 ms per answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise InputError(
            f"serving.host={host} serving.port={port}: cannot be listened on ({reason}); name"
            " another port, or 0 for any free one"
        ) from None
    return listener


@command("serve_config")
def main(config: DictConfig) -> None:
    """The command line."""
    serve(config)


if __name__ == "__main__":
    main()
