"""A Triton model repository: the settings of its models, and new versions of them.

``<repository>/<model>/<version>/model.onnx`` is a version. ``<repository>/<model>/config.pbtxt``
belongs to all of them, and every server takes it; ``configs/rec_sys.pbtxt`` beside it also tells
clients the fingerprint of each version, and is what a server takes that is started with
``--model-config-name=rec_sys``.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import replacing, sha256_of
from rec_sys.foundation.onnx import MODEL_FILE, open_session
from rec_sys.graph.ego_batch import MODEL_FINGERPRINT_KEY, MODEL_INPUTS
from rec_sys.text.encoder import ENCODER_FINGERPRINT_KEY
from rec_sys.text.onnx import ENCODER_INPUTS, LENGTH_STEP

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CONFIG_FILE = "config.pbtxt"
#: What Triton is told: ``--model-config-name=rec_sys``.
CONFIG_NAME = "rec_sys"

# As ONNX Runtime names a type -> as Triton does.
_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}


@dataclass(frozen=True)
class _Kind:
    """How Triton serves a kind of exported model.

    Attributes:
        inputs: Which tensors tell that a model is of this kind.
        parameters: What Triton tells its clients: parameter -> key of the metadata in the file.
        batching: Lines of ``config.pbtxt``, ``max_batch_size`` among them.
        is_batched: Whether axis 0 of each tensor is left to Triton.
        warm_up_length: Of each free axis in the sample that is run before the model is ready.
    """

    inputs: tuple[str, ...]
    parameters: dict[str, str]
    batching: tuple[str, ...]
    is_batched: bool
    warm_up_length: int


_KINDS = (
    _Kind(
        inputs=tuple(MODEL_INPUTS),
        parameters={
            "model_fingerprint": MODEL_FINGERPRINT_KEY,
            "encoder_fingerprint": ENCODER_FINGERPRINT_KEY,
        },
        batching=(
            "# A request is a whole neighbourhood: Triton must not cut or join it along axis 0.",
            "max_batch_size: 0",
        ),
        is_batched=False,
        warm_up_length=1,  # one user, one product, one review
    ),
    _Kind(
        inputs=ENCODER_INPUTS,
        parameters={"encoder_fingerprint": ENCODER_FINGERPRINT_KEY},
        batching=(
            "max_batch_size: 64",
            "# Requests of the same length, which clients round up, are joined.",
            "dynamic_batching {",
            "  preferred_batch_size: [ 8, 16, 32, 64 ]",
            "  max_queue_delay_microseconds: 500",
            "}",
        ),
        is_batched=True,
        warm_up_length=LENGTH_STEP,
    ),
)


def write_config(onnx_path: str | Path) -> Path | None:
    """Writes the settings that fit an exported model and its other versions.

    They go to ``configs/rec_sys.pbtxt``; a ``config.pbtxt`` is left as it is, and written without
    the fingerprints if there is none. Names, types and shapes come from the ONNX file itself, so
    that they cannot differ from it. ``kind`` is left to Triton: with a GPU it takes it, without one
    it still loads. The two newest versions are served, so that clients of the older one go on while
    others take up the newer.

    Args:
        onnx_path: The graph model's or the text encoder's file.

    Returns:
        The path of the former; None if the file does not lie in a Triton repository.

    Raises:
        InputError: It is neither of the two models, or a version does not tell which it is.
    """
    onnx_path = Path(onnx_path)
    if onnx_path.name != MODEL_FILE or not onnx_path.parent.name.isdigit():
        return None
    folder = onnx_path.parent.parent
    sessions = {path: open_session(path) for path in versions_of(folder).values()}
    session = sessions[onnx_path]
    kind = _kind_of(session, onnx_path)
    skipped = 1 if kind.is_batched else 0
    lines = [
        "# Written from the ONNX file by the command that exported it.",
        f'name: "{folder.name}"',
        'backend: "onnxruntime"',
        *kind.batching,
        *_tensors("input", session.get_inputs(), skipped),
        *_tensors("output", session.get_outputs(), skipped),
        "instance_group [ { count: 1 } ]",
        "version_policy: { latest: { num_versions: 2 } }",
        *_warm_up(session.get_inputs(), skipped, kind.warm_up_length),
    ]
    told, default = folder / "configs" / f"{CONFIG_NAME}.pbtxt", folder / CONFIG_FILE
    _write(told, [*lines, *_parameters(kind, sessions)])
    if not default.is_file():
        _write(default, lines)
    return told


def publish(
    repository: str | Path, graph_model: str | Path, text_encoder: str | Path
) -> dict[str, int]:
    """Puts both models behind the versions that are there; what is there already stays as it is.

    A running Triton takes them up when it is told to load the models.

    Args:
        repository: Made if it is missing.
        graph_model: The exported file.
        text_encoder: The exported file.

    Returns:
        For each model the version that it is now.
    """
    return {
        name: _put(Path(source), Path(repository) / name)
        for name, source in (("graph_model", graph_model), ("text_encoder", text_encoder))
    }


def versions_of(folder: Path) -> dict[int, Path]:
    """Finds the versions of a model in its folder: number -> ONNX file, ascending."""
    found = folder.glob(f"*/{MODEL_FILE}")
    return dict(sorted((int(p.parent.name), p) for p in found if p.parent.name.isdigit()))


def parameter_of_version(key: str, version: int | str) -> str:
    """Names the parameter of the settings that holds a value of one version."""
    return f"{key}.{version}"


def _put(source: Path, folder: Path) -> int:
    there = versions_of(folder)
    newest = max(there, default=0)
    if there and sha256_of(there[newest]) == sha256_of(source):
        write_config(there[newest])  # perhaps the last attempt ended before it
        note(f"{there[newest]}: is this model already")
        return newest
    path = folder / str(newest + 1) / MODEL_FILE
    with replacing(path.parent) as draft:
        draft.mkdir()
        shutil.copyfile(source, draft / MODEL_FILE)
    write_config(path)
    note(f"{path}: written")
    return newest + 1


def _write(path: Path, lines: list[str]) -> None:
    with replacing(path) as draft:
        draft.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _kind_of(session: "InferenceSession", path: Path) -> _Kind:
    names = {each.name for each in session.get_inputs()}
    for kind in _KINDS:
        if names == set(kind.inputs):
            return kind
    raise InputError(f"{path}: not a model of this version of rec_sys; export it again")


def _tensors(kind: str, tensors: list[Any], skipped: int) -> list[str]:
    lines = [
        f'  {{ name: "{tensor.name}", data_type: {_TYPES[tensor.type]}, '
        f"dims: [ {_dims(tensor, skipped, free=-1)} ] }}"
        for tensor in tensors
    ]
    return [f"{kind} [", ",\n".join(lines), "]"]


def _warm_up(inputs: list[Any], skipped: int, length: int) -> list[str]:
    lines = [
        f'    inputs {{ key: "{tensor.name}" value: {{ data_type: {_TYPES[tensor.type]}, '
        f"dims: [ {_dims(tensor, skipped, free=length)} ], zero_data: true }} }}"
        for tensor in inputs
    ]
    return ["model_warmup [ {", '    name: "zeros", batch_size: 1', *lines, "} ]"]


def _dims(tensor: Any, skipped: int, free: int) -> str:
    # A free axis has a name in ONNX.
    sizes = [axis if isinstance(axis, int) else free for axis in tensor.shape[skipped:]]
    return ", ".join(map(str, sizes))


def _parameters(kind: _Kind, sessions: "dict[Path, InferenceSession]") -> list[str]:
    """What differs between versions needs a key each; that without a number is the newest's."""
    values: dict[str, str] = {}
    for path, session in sessions.items():
        metadata = session.get_modelmeta().custom_metadata_map
        for parameter, key in kind.parameters.items():
            if key not in metadata:
                raise InputError(
                    f"{path}: does not tell its {parameter}; export it again or remove this version"
                )
            values[parameter_of_version(parameter, int(path.parent.name))] = metadata[key]
            values[parameter] = metadata[key]  # the newest comes last
    return [
        f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}'
        for key, value in sorted(values.items())
    ]
