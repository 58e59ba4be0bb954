"""Pictures of results: each takes one result or a dict of them and ``ax=None``, and returns the Axes."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "adaptation": ["gain_scaling"],
        "complex_plane": ["eigenvalues", "pseudospectrum"],
        "fractional": ["fractional_order"],
        "orbits": ["cycle", "fixed_points", "multipliers", "phase_portrait"],
        "parameters": ["exponent_map", "robustness"],
        "propagation": ["gradient_norms", "singular_values"],
        "running": ["convergence"],
        "spectra": ["spectrum"],
        "training": ["training_spectra"],
        "vectors": ["covariant_angles", "participation"],
    },
)
