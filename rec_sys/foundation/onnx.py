"""Models as ONNX files: how each is written, checked and opened."""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import require_regular

if TYPE_CHECKING:
    import onnx
    import torch
    from onnxruntime import InferenceSession

MODEL_FILE = "model.onnx"
#: Largest difference between ONNX Runtime and PyTorch that counts as rounding.
MAX_DIFFERENCE = 1e-5
# Where a file tells the SHA-256 that it has with these zeros in its place.
_SEAL, _UNSEALED = "sha256", "0" * 64
#: Older ONNX Runtimes, such as those inside Triton, load this version.
OPSET = 18


def write_onnx(
    model: "torch.nn.Module",
    path: Path,
    *,
    inputs: Mapping[str, "torch.Tensor"],
    outputs: Sequence[str],
    dynamic_shapes: Mapping[str, Mapping[int, Any]],
    metadata: Mapping[str, str],
) -> None:
    """Writes a model as one ONNX file, in place: give a draft. `inputs`: name to an example, in the
    order of the call; `dynamic_shapes`: name to its axes of any length, as `torch.export.Dim`."""
    import onnx
    import torch

    # What the exporter says about itself is for its authors.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            model,
            tuple(inputs.values()),
            path,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dict(dynamic_shapes),
            external_data=False,
            verbose=False,
        )
    made = onnx.load(path)
    onnx.helper.set_model_props(made, dict(metadata))
    for each in (*made.graph.node, *made.graph.value_info):
        each.ClearField("metadata_props")  # lines of source code and paths of this machine
    onnx.checker.check_model(made)
    save_onnx(made, path)


def save_onnx(model: "onnx.ModelProto", path: Path) -> None:
    """Writes a model and, among its metadata, the file's SHA-256, which `open_session` checks."""
    import onnx

    metadata = {each.key: each.value for each in model.metadata_props}
    onnx.helper.set_model_props(model, metadata | {_SEAL: _UNSEALED})
    content = model.SerializeToString()
    path.write_bytes(content.replace(_UNSEALED.encode(), sha256(content).hexdigest().encode()))


def require_agreement(difference: float, what: str) -> None:
    """RuntimeError if the largest difference of two numbers is more than rounding, or no number."""
    if not difference <= MAX_DIFFERENCE:
        raise RuntimeError(f"the exported {what} differs from PyTorch by {difference:.1e}")


_MOST_THREADS = 1 << 31  # as ONNX Runtime counts them
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


def open_session(
    path: Path, threads: int = 0, disabled: Sequence[str] = (), content: bytes | None = None
) -> "InferenceSession":
    """Opens an exported model, a file or its `content`, in ONNX Runtime, on the CPU; 0 threads for
    as many as there are cores, without some optimizers; InputError if it is not readable, weights
    are in other files, which do not come along when it is copied, or a file is not as written."""
    import onnxruntime

    if threads >= _MOST_THREADS:
        raise InputError(f"threads={threads}: must be below {_MOST_THREADS}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Otherwise weights in other files are looked for where the command runs.
    options.add_session_config_entry(_WEIGHTS_FOLDER, os.devnull)
    is_file = content is None
    if content is None:
        require_regular(path)
        content = path.read_bytes()
    try:
        how = {"providers": ["CPUExecutionProvider"], "disabled_optimizers": list(disabled)}
        session = onnxruntime.InferenceSession(content, options, **how)
    except Exception as error:  # ONNX Runtime has many, without a common kind
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise InputError(f"{path}: not a readable ONNX model ({reason})") from None
    seal = session.get_modelmeta().custom_metadata_map.get(_SEAL) or _UNSEALED
    if is_file and sha256(content.replace(seal.encode(), _UNSEALED.encode())).hexdigest() != seal:
        raise InputError(f"{path}: damaged, or of another version of rec_sys; export it again")
    return session
