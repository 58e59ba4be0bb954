"""Tasks on which networks are trained: numpy batches, no framework."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__, submod_attrs={"images": ["SequentialImages"], "perturbations": ["contrast", "noise_drive", "step_drive"]}
)
