"""Poison for workers: a picture that ends with a marker crashes or hangs whoever computes its vector.

Python imports this module when it starts, wherever this folder is on PYTHONPATH. Nothing happens until a process
imports the module that decodes pictures.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_DECODER = "worker.core.hashing"
_CRASH = b"lookalike-chaos: crash"
_HANG = b"lookalike-chaos: hang"
_FOR_EVER_SECONDS = 3600


class _Poisoning(Loader):
    """Loads the decoder, and wraps its function."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        create_vector = module.create_vector

        def poisoned(file: Any) -> Any:
            if isinstance(file, bytes) and file.endswith(_CRASH):
                os.kill(os.getpid(), signal.SIGKILL)
            while isinstance(file, bytes) and file.endswith(_HANG):
                time.sleep(_FOR_EVER_SECONDS)
            return create_vector(file)

        module.create_vector = poisoned  # type: ignore[attr-defined]


class _Finder(MetaPathFinder):
    """Finds the decoder, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == _DECODER else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Poisoning(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
