"""Files of code as they are imported: where they lie on this machine is nobody's business."""

import functools
import sys
from pathlib import Path


@functools.cache
def as_imported(file: str) -> str:
    """Name a file from the folder on Python's path on that it is found in.

    "…/site-packages/torch/nn/modules/linear.py" is "torch/nn/modules/linear.py"; a file that lies
    in none of those folders keeps its name alone, and "<string>" stays as it is.
    """
    path = Path(file)
    if not path.is_absolute():
        return file
    folders = [folder for folder in map(Path, sys.path) if folder in path.parents]
    if not folders:
        return path.name
    return str(path.relative_to(max(folders, key=lambda folder: len(folder.parts))))
