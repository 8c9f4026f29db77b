"""What Triton needs beside the graph model's ONNX file: a ``config.pbtxt`` that fits it."""

from pathlib import Path

from rec_sys.foundation import triton_config
from rec_sys.graph.ego_batch import MODEL_FINGERPRINT_KEY, MODEL_INPUTS
from rec_sys.text.encoder import ENCODER_FINGERPRINT_KEY

#: Under which Triton tells its clients what the ONNX file's metadata hold.
PARAMETERS = {
    "model_fingerprint": MODEL_FINGERPRINT_KEY,
    "encoder_fingerprint": ENCODER_FINGERPRINT_KEY,
}


def write_triton_config(onnx_path: Path) -> Path:
    """Writes the ``config.pbtxt`` of an exported graph model in a Triton repository.

    Args:
        onnx_path: ``<repository>/<model>/<version>/model.onnx``.

    Returns:
        The path of the ``config.pbtxt``.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx_path), providers=["CPUExecutionProvider"])
    # One user, one product, one review: each free axis is 1 long.
    one_of_each = {
        tensor.name: [axis if isinstance(axis, int) else 1 for axis in tensor.shape]
        for tensor in session.get_inputs()
    }
    return triton_config.write_triton_config(
        onnx_path,
        [
            "# A request is a whole neighbourhood: Triton must not cut or join it along axis 0.",
            "max_batch_size: 0",
        ],
        PARAMETERS,
        {name: one_of_each[name] for name in MODEL_INPUTS},
    )
