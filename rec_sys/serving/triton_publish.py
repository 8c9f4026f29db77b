"""The models of a bundle as new versions in a Triton repository."""

import shutil
from collections.abc import Callable
from pathlib import Path

from rec_sys.foundation.console import note
from rec_sys.foundation.files import replacing, sha256_of
from rec_sys.foundation.triton_config import MODEL_FILE, versions_beside
from rec_sys.serving.bundle import Bundle

GRAPH_MODEL_NAME, TEXT_ENCODER_NAME = "graph_model", "text_encoder"


def publish(bundle: Bundle, repository: str | Path) -> dict[str, int]:
    """Puts both models behind the versions that are there; what is there already stays as it is.

    A running Triton takes them up when it is told to load the models.

    Args:
        bundle: Has the models.
        repository: Triton's model repository; made if it is missing.

    Returns:
        For each model the version that is the bundle's.
    """
    from rec_sys.modules.triton_repository import write_triton_config
    from rec_sys.text.encoder_export import write_encoder_config

    models = {
        GRAPH_MODEL_NAME: (bundle.graph_model, write_triton_config),
        TEXT_ENCODER_NAME: (bundle.text_encoder / MODEL_FILE, write_encoder_config),
    }
    return {
        name: _put(source, Path(repository) / name, write_config)
        for name, (source, write_config) in models.items()
    }


def _put(source: Path, folder: Path, write_config: Callable[[Path], Path]) -> int:
    there = versions_beside(folder / "1" / MODEL_FILE)
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
