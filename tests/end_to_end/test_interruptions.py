"""Whatever ends a run, starting again loses at most the last batch or epoch."""

import re
import signal
import time

from rec_sys.foundation.cli import EXIT_INTERRUPTED
from rec_sys.modules.checkpoint import read_checkpoint
from tests.helpers.commands import SMALL, Shell

KEY_BYTES = 16
WAIT_SECONDS = 120


def wait_for(process, condition):
    """Until the condition holds, or the process has ended (which the caller will notice)."""
    deadline = time.monotonic() + WAIT_SECONDS
    while process.poll() is None and not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stored(folder) -> int:
    """Texts whose vectors are safely on disk."""
    return sum(path.stat().st_size for path in folder.glob("cache/text_vectors/*/keys.bin")) // (
        KEY_BYTES
    )


def end(process, signal_number) -> str:
    """Ends a command as Ctrl-C or the kernel does; returns what it printed."""
    process.send_signal(signal_number)
    printed, errors = process.communicate()
    assert process.returncode in (EXIT_INTERRUPTED, -signal.SIGKILL), errors
    assert "Traceback" not in errors
    return printed


def test_interrupted_encoding_goes_on(tmp_path):
    shell = Shell(tmp_path)
    options = (*SMALL, "encoder.precision=fp32", "encoder.batch_tokens=256")
    for signal_number in (signal.SIGINT, signal.SIGKILL):
        kept = stored(tmp_path)
        process = shell.start("train.train", *options)
        wait_for(process, lambda kept=kept: stored(tmp_path) > kept + 20)
        end(process, signal_number)
    kept = stored(tmp_path)
    again = shell.train(*options, "train.export=false", here=True)
    newly_encoded = int(re.search(r"(\d+) of \d+ texts newly encoded", again)[1])
    assert newly_encoded == stored(tmp_path) - kept > 0


def test_interrupted_training_goes_on(small_shop, tmp_path):
    shell = Shell(tmp_path)
    (tmp_path / "cache").symlink_to(small_shop.folder / "cache")
    options = (*SMALL[:2], "train.max_epochs=500", "trainer.enable_progress_bar=false")
    last = tmp_path / "checkpoints" / "cut.last.ckpt"

    process = shell.start("train.train", *options, "train.run_name=cut")
    wait_for(process, last.exists)
    printed = end(process, signal.SIGINT)
    # The second training there, in the precision that the first one found out.
    assert "train.resume=true" in printed
    assert re.search(r"; 0 of \d+ texts newly encoded", printed)
    for _ in range(2):
        done = read_checkpoint(last)["epoch"] + 1
        process = shell.start("train.train", *options, "train.resume=true")
        wait_for(process, lambda done=done: read_checkpoint(last)["epoch"] >= done)
        printed = end(process, signal.SIGKILL)
        assert f"going on with cut after epoch {done} of 500" in printed
