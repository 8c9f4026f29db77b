"""Triton's ONNX Runtime backend for tests, as a Python-based backend: copied to ``model.py``.

The wheel that brings the server lacks that backend. This one does what it does: it runs the
version's ``model.onnx``, and joins the requests of a batch along axis 0.
"""

import ctypes
import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

_set_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
_set_destructor.argtypes = [ctypes.py_object, ctypes.c_void_p]


class _Exported:
    """DLPack without the capsule's destructor, which logs a traceback for each output."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **_):
        capsule = self._array.__dlpack__()
        _set_destructor(capsule, None)
        return capsule

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.joins = config["max_batch_size"] > 0
        self.outputs = [each["name"] for each in config["output"]]
        self.inputs = [each["name"] for each in config["input"]]
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests):
        fed = [self._arrays(request) for request in requests]
        if not self.joins:
            return [self._response(fed_one) for fed_one in fed]
        joined = {name: np.concatenate([each[name] for each in fed]) for name in self.inputs}
        ends = np.cumsum([len(each[self.inputs[0]]) for each in fed])[:-1]
        results = [np.split(array, ends) for array in self.session.run(self.outputs, joined)]
        return [self._packed(arrays) for arrays in zip(*results, strict=True)]

    def _arrays(self, request):
        # By DLPack both ways: with NumPy 2 `as_numpy` gives wrong strides.
        tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self.inputs}
        return {name: np.from_dlpack(tensor).copy() for name, tensor in tensors.items()}

    def _response(self, arrays):
        try:
            return self._packed(self.session.run(self.outputs, arrays))
        except Exception as error:  # noqa: BLE001  as the real backend: the request's error
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))

    def _packed(self, arrays):
        tensors = []
        for name, array in zip(self.outputs, arrays, strict=True):
            # Writable and of its own; cut from one more row, because the strides of an array
            # without any element are 0, which Triton does not take for contiguous.
            own = np.empty((len(array) + 1, *array.shape[1:]), array.dtype)[:-1]
            own[...] = array
            tensors.append(pb_utils.Tensor.from_dlpack(name, _Exported(own)))
        return pb_utils.InferenceResponse(tensors)
