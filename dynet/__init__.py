"""dynet: the dynamics of neural networks, from any step function plus Jacobian to labelled results."""

import lazy_loader as _lazy

_load, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    if name == "__version__":
        from importlib.metadata import version

        return version("dynet-analysis")
    return _load(name)
