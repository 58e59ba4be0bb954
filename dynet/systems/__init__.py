"""Systems: a next state, and a Jacobian that multiplies."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(__name__, submodules=["networks", "theory", "zoo"])
