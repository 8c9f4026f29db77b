"""One program for all commands: ``rec-sys train`` is ``python -m rec_sys.train.train``."""

import runpy
import sys

from rec_sys import __version__
from rec_sys.foundation import cli
from rec_sys.foundation.errors import InputError

#: Each with what it does, in the order in which they are needed.
COMMANDS = {
    "train": ("rec_sys.train.train", "train a model on the demo or on your reviews"),
    "index": ("rec_sys.vector_database.create_vectorbase", "make the product index of a model"),
    "infer": ("rec_sys.inference.infer", "recommend to the people of a file"),
    "serve": ("rec_sys.serving.app", "start the web page and the REST service"),
    "update": ("rec_sys.vector_database.update_vectorbase", "add later reviews to the index"),
    "bundle": ("rec_sys.serving.create_bundle", "make what the service needs"),
    "export": ("rec_sys.modules.model_export", "write the network as an ONNX file"),
    "evaluate": ("rec_sys.evaluation.evaluate", "measure the model beside its baselines"),
}
# Package -> the extra that brings it.
_EXTRAS = {
    **dict.fromkeys(
        ("fastapi", "httptools", "prometheus_client", "sqlalchemy", "uvicorn"), "serve"
    ),
    "tritonclient": "triton",
}


@cli.graceful_exit
def main() -> None:
    """The command line."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        print("usage: rec-sys COMMAND [KEY=VALUE ...]\n")
        print("\n".join(f"  {name:10}{what}" for name, (_, what) in COMMANDS.items()))
        print("\n`rec-sys COMMAND --help` tells more, `rec-sys --version` the version.")
    elif name == "--version":
        print(f"rec-sys {__version__}")
    elif name not in COMMANDS:
        raise InputError(f"{name}: no such command; there are {', '.join(COMMANDS)}")
    else:
        module, _ = COMMANDS[name]
        cli.program_name = f"rec-sys {name}"
        sys.argv = [cli.program_name, *arguments]
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            raise InputError(
                f"{cli.program_name} needs {error.name}: install it with `pip install"
                f" 'rec_sys[{extra}]'`"
            ) from None


if __name__ == "__main__":
    main()
