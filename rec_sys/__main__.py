"""One program for all commands: ``rec-sys train`` is ``python -m rec_sys.train.train``."""

import runpy
import sys

from rec_sys import __version__
from rec_sys.foundation import cli
from rec_sys.foundation.console import TYPED
from rec_sys.foundation.errors import InputError

#: Module, file of settings (None for a command that reads its arguments itself) and what it does,
#: in the order in which they are needed.
COMMANDS = {
    "train": ("train.train", "train", "train a model on the demo or on your reviews"),
    "index": ("vector_database.create_vectorbase", "vectorbase", "make the index of the products"),
    "infer": ("inference.infer", "infer", "recommend to the people of a file"),
    "serve": ("serving.app", "serve", "start the web page and the REST service"),
    "update": ("vector_database.update_vectorbase", "update", "add later reviews to the index"),
    "bundle": ("serving.create_bundle", "bundle", "make what the service needs"),
    "export": ("modules.model_export", None, "write the network as an ONNX file"),
    "evaluate": ("evaluation.evaluate", "evaluate", "measure the model beside its baselines"),
}
_SERVING = "alembic", "fastapi", "httptools", "jwt", "prometheus_client", "sqlalchemy", "uvicorn"
_EXTRAS = dict.fromkeys(_SERVING, "serve") | {"tritonclient": "triton"}


@cli.graceful_exit
def main() -> None:
    """The command line."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        print("usage: rec-sys COMMAND [KEY=VALUE ...]\n")
        print("\n".join(f"  {name:10}{what}" for name, (*_, what) in COMMANDS.items()))
        print("\n`rec-sys COMMAND --help` tells more, `rec-sys --version` the version.")
    elif name == "--version":
        print(f"rec-sys {__version__}")
    elif name not in COMMANDS:
        raise InputError(f"{name}: no such command; there are {', '.join(COMMANDS)}")
    else:
        module, settings, _ = COMMANDS[name]
        if settings and cli.asks_for_help(arguments):  # without what the command itself imports
            cli.show_help(f"{settings}_config", f"rec-sys {name}", arguments)
            return
        sys.argv = [f"rec-sys {name}", *arguments]
        TYPED["uv run mlflow"] = "mlflow"
        for typed, (path, *_) in COMMANDS.items():
            for told in ("uv run -m", "uv run python -m"):
                TYPED[f"{told} rec_sys.{path}"] = f"rec-sys {typed}"
        try:
            runpy.run_module(f"rec_sys.{module}", run_name="__main__", alter_sys=True)
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            remedy = f"install it with `pip install 'rec_sys[{extra}]'`"
            raise InputError(f"{sys.argv[0]} needs {error.name}: {remedy}") from None


if __name__ == "__main__":
    main()
