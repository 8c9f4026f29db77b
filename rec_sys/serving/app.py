"""The web service: ``uv run -m rec_sys.serving.app``; PyTorch is imported only to make a bundle."""

import signal

from omegaconf import DictConfig

from rec_sys.foundation.cli import command


@command("serve_config")
def main(config: DictConfig) -> None:
    """The command line."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing to take up yet, and no reason to end
    # Takes seconds to import: what is wrong with the command line has been told by now.
    from rec_sys.serving.server import serve

    serve(config)


if __name__ == "__main__":
    main()
