"""Triton's ``config.pbtxt``, written from the ONNX files that it stands beside."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import replacing

MODEL_FILE = "model.onnx"
CONFIG_FILE = "config.pbtxt"

# As ONNX Runtime names a type -> as Triton does.
_TYPES = {
    "tensor(float)": "TYPE_FP32",
    "tensor(int64)": "TYPE_INT64",
}


def is_in_repository(onnx_path: Path) -> bool:
    """Whether a path is ``<repository>/<model>/<version>/model.onnx``."""
    return onnx_path.name == MODEL_FILE and onnx_path.parent.name.isdigit()


def versions_beside(onnx_path: Path) -> dict[int, Path]:
    """The versions of a model in a Triton repository: number -> ONNX file, ascending."""
    found = onnx_path.parent.parent.glob(f"*/{MODEL_FILE}")
    return dict(sorted((int(p.parent.name), p) for p in found if p.parent.name.isdigit()))


def parameter_of_version(key: str, version: int | str) -> str:
    """The config parameter that holds a value of one version.

    ``config.pbtxt`` belongs to all versions, so what differs between them needs a key each.
    """
    return f"{key}.{version}"


def write_triton_config(
    onnx_path: Path,
    header: Sequence[str],
    parameters: Mapping[str, str],
    warm_up: Mapping[str, Sequence[int]],
    is_batched: bool = False,
) -> Path:
    """Writes the ``config.pbtxt`` of a model in a Triton repository.

    Names, types and shapes come from the ONNX file itself, so that they cannot differ from it.
    ``kind`` is left to Triton: with a GPU it takes it, without one it still loads. The two newest
    versions are served, so that clients of the older one go on while others take up the newer.

    Args:
        onnx_path: ``<repository>/<model>/<version>/model.onnx``.
        header: Lines on batching, ``max_batch_size`` among them.
        parameters: What Triton shall tell its clients: parameter -> key of the metadata in the
            ONNX file. Written for the newest version and, by `parameter_of_version`, for each.
        warm_up: Input -> shape of the sample of zeros that is run before the model is ready;
            without the batch axis if the model is batched.
        is_batched: Whether axis 0 of each tensor is left to Triton.

    Returns:
        The path of the ``config.pbtxt``.

    Raises:
        InputError: A version lacks the metadata.
    """
    import onnxruntime

    versions = versions_beside(onnx_path)
    sessions = {
        number: onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for number, path in versions.items()
    }
    session = sessions[int(onnx_path.parent.name)]
    values: dict[str, str] = {}
    for parameter, key in parameters.items():
        for number, each in sessions.items():
            metadata = each.get_modelmeta().custom_metadata_map
            if key not in metadata:
                raise InputError(
                    f"{versions[number]}: does not tell its {parameter}; export it again or remove"
                    " this version"
                )
            values[parameter_of_version(parameter, number)] = metadata[key]
            values[parameter] = metadata[key]  # the newest comes last
    skipped = 1 if is_batched else 0
    folder = onnx_path.parent.parent
    text = "\n".join(
        [
            "# Written from the ONNX file by the command that exported it.",
            f'name: "{folder.name}"',
            'backend: "onnxruntime"',
            *header,
            *_tensors("input", session.get_inputs(), skipped),
            *_tensors("output", session.get_outputs(), skipped),
            "instance_group [ { count: 1 } ]",
            "version_policy: { latest: { num_versions: 2 } }",
            *(_parameter(*each) for each in sorted(values.items())),
            *_warm_up(session.get_inputs(), warm_up),
            "",
        ]
    )
    path = folder / CONFIG_FILE
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path


def _tensors(kind: str, tensors: list, skipped: int) -> list[str]:
    lines = [
        f'  {{ name: "{tensor.name}", data_type: {_TYPES[tensor.type]}, '
        f"dims: [ {', '.join(str(_size(axis)) for axis in tensor.shape[skipped:])} ] }}"
        for tensor in tensors
    ]
    return [f"{kind} [", ",\n".join(lines), "]"]


def _size(axis: int | str | None) -> int:
    # A free axis has a name in ONNX and is -1 for Triton.
    return axis if isinstance(axis, int) else -1


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}'


def _warm_up(inputs: list, shapes: Mapping[str, Sequence[int]]) -> list[str]:
    lines = [
        f'    inputs {{ key: "{tensor.name}" value: {{ data_type: {_TYPES[tensor.type]}, '
        f"dims: [ {', '.join(map(str, shapes[tensor.name]))} ], zero_data: true }} }}"
        for tensor in inputs
    ]
    return ["model_warmup [ {", '    name: "zeros", batch_size: 1', *lines, "} ]"]
