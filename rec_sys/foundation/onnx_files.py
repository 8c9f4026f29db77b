"""What every exported ONNX file has in common."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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
