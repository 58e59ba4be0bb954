"""Pictures of results: each takes one result or a dict of them and ``ax=None``, and returns the Axes."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "orbits": ["cycle", "fixed_points", "multipliers", "phase_portrait"],
        "running": ["convergence"],
        "spectra": ["spectrum"],
    },
)
