"""Import optional packages, or say in one sentence how to get them."""

from __future__ import annotations

import importlib
from types import ModuleType


def import_optional(name: str, *, extra: str, purpose: str) -> ModuleType:
    """Import ``name``; if it is missing, name the extra that brings it.

    Parameters
    ----------
    name : str
        Dotted name of the module.
    extra : str
        The extra of ``dynet-analysis`` that installs it.
    purpose : str
        What needs it, as the subject of the error's sentence.

    Raises
    ------
    ImportError
        If the module is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{purpose} needs the package '{package}', which is not installed: pip install \"dynet-analysis[{extra}]\""
        ) from error
