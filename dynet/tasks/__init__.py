"""Tasks on which networks are trained: numpy batches, no framework."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "characters": ["Characters"],
        "copy_memory": ["CopyMemory"],
        "decisions": ["DelayedDiscrimination", "EvidenceAccumulation"],
        "images": ["SequentialImages"],
        "interface": ["Batch", "Task", "WeightedBatch"],
        "memory": ["FlipFlop", "IntervalReproduction"],
        "motion": ["MotionCapture"],
        "perturbations": ["contrast", "noise_drive", "step_drive"],
    },
)
