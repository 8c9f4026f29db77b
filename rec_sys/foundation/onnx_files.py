"""What every exported ONNX file has in common."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rec_sys.foundation.errors import InputError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Older ONNX Runtimes, such as those inside Triton, load this version.
OPSET = 18
#: Largest difference between ONNX Runtime and PyTorch that counts as rounding.
MAX_DIFFERENCE = 1e-5


@contextmanager
def quiet_export() -> Iterator[None]:
    """Keeps what PyTorch's exporter says about itself from the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def add_metadata(path: Path, properties: Mapping[str, str]) -> None:
    """Writes metadata into an ONNX file, once the file is found to be well-formed.

    Args:
        path: The file; rewritten in place, so give a draft.
        properties: Key -> value.
    """
    import onnx

    content = onnx.load(path)
    onnx.helper.set_model_props(content, dict(properties))
    onnx.checker.check_model(content)
    onnx.save(content, path)


def require_agreement(difference: float, what: str) -> None:
    """Refuses an export that computes something else.

    Args:
        difference: The largest one between any two numbers.
        what: What was exported, for the message.

    Raises:
        RuntimeError: It is more than rounding, or no number.
    """
    if not difference <= MAX_DIFFERENCE:
        raise RuntimeError(f"the exported {what} differs from PyTorch by {difference:.1e}")


def open_session(
    path: Path, threads: int, without_optimizers: Sequence[str] = ()
) -> "InferenceSession":
    """An exported model in ONNX Runtime, on the CPU.

    Args:
        path: The file; it exists.
        threads: Threads of one pass; 0 for as many as there are cores.
        without_optimizers: ONNX Runtime's optimizers to leave out.

    Raises:
        InputError: Not a readable model.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(without_optimizers),
        )
    except (Fail, InvalidGraph, InvalidProtobuf) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: not a readable ONNX model ({reason})") from None
