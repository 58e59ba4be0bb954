"""Pictures of results: each takes one result or a dict of them and ``ax=None``, and returns the Axes."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "activations": ["activation", "jacobian_map"],
        "adaptation": ["gain_scaling"],
        "boundary": ["stability_boundary"],
        "controllers": ["controller"],
        "responses": ["response_curve", "response_distribution"],
        "complex_plane": ["eigenvalues", "pseudospectrum"],
        "branches": ["continuation"],
        "fractional": ["fractional_order"],
        "losses": ["loss_curves"],
        "orbits": ["cycle", "fixed_points", "multipliers", "phase_portrait"],
        "parameters": ["exponent_map", "robustness"],
        "propagation": ["gradient_norms", "singular_values"],
        "running": ["convergence"],
        "spectra": ["spectrum"],
        "training": ["training_spectra"],
        "vectors": ["covariant_angles", "participation"],
    },
)
