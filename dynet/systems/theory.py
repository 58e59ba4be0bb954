"""What is known on paper: large random networks, products of random matrices, windows of oscillation of two units."""

from dynet.systems.extensivity import collapse
from dynet.systems.oscillation_windows import (
    cycle_window,
    hopf_angle,
    neimark_sacker_angle,
    saddle_node_angle,
    strong_gain_cycle,
)
from dynet.systems.random_matrices import circular_law, ginibre_exponents
from dynet.systems.random_network_theory import mean_field, transition

__all__ = [
    "circular_law",
    "collapse",
    "cycle_window",
    "ginibre_exponents",
    "hopf_angle",
    "mean_field",
    "neimark_sacker_angle",
    "saddle_node_angle",
    "strong_gain_cycle",
    "transition",
]
