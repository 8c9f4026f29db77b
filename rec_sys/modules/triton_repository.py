"""What Triton needs beside the ONNX file: a ``config.pbtxt`` that fits it."""

from pathlib import Path

from rec_sys.foundation.files import replacing

_TYPES = {
    "tensor(float)": "TYPE_FP32",
    "tensor(int64)": "TYPE_INT64",
}
MODEL_FILE = "model.onnx"


def is_in_repository(onnx_path: Path) -> bool:
    """Whether a path is ``<repository>/<model>/<version>/model.onnx``."""
    return onnx_path.name == MODEL_FILE and onnx_path.parent.name.isdigit()


def write_triton_config(onnx_path: Path) -> Path:
    """Writes the ``config.pbtxt`` of a model in a Triton repository.

    Names, types and shapes come from the ONNX file itself, so that they cannot differ from it.
    ``kind`` is left to Triton: with a GPU it takes it, without one it still loads.

    Args:
        onnx_path: ``<repository>/<model>/<version>/model.onnx``.

    Returns:
        The path of the ``config.pbtxt``.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx_path), providers=["CPUExecutionProvider"])
    folder = onnx_path.parent.parent
    text = "\n".join(
        [
            "# Written by rec_sys.modules.model_export from the ONNX file beside it.",
            f'name: "{folder.name}"',
            'backend: "onnxruntime"',
            "# A request is a whole neighbourhood: Triton must not cut or join it along axis 0.",
            "max_batch_size: 0",
            *_tensors("input", session.get_inputs()),
            *_tensors("output", session.get_outputs()),
            "instance_group [ { count: 1 } ]",
            "",
        ]
    )
    path = folder / "config.pbtxt"
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path


def _tensors(kind: str, tensors: list) -> list[str]:
    lines = [
        f'  {{ name: "{tensor.name}", data_type: {_TYPES[tensor.type]}, '
        f"dims: [ {', '.join(str(_size(axis)) for axis in tensor.shape)} ] }}"
        for tensor in tensors
    ]
    return [f"{kind} [", ",\n".join(lines), "]"]


def _size(axis: int | str | None) -> int:
    # A free axis has a name in ONNX and is -1 for Triton.
    return axis if isinstance(axis, int) else -1
