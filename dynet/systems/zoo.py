"""Systems whose answers are known on paper.

The functions that are compiled return tuples, so the compiled loop allocates nothing. Parameters are
namedtuples: ``henon().with_params(a=1.2)`` changes one and compiles nothing.
"""

from dynet.systems.neurons import hodgkin_huxley
from dynet.systems.two_units import tanh_oscillator
from dynet.systems.zoo_flows import lorenz63, lorenz96, rossler, stuart_landau, van_der_pol
from dynet.systems.zoo_maps import baker_map, cat_map, henon, linear_map, logistic, skew_tent

__all__ = [
    "baker_map",
    "cat_map",
    "henon",
    "hodgkin_huxley",
    "linear_map",
    "logistic",
    "lorenz63",
    "lorenz96",
    "rossler",
    "skew_tent",
    "stuart_landau",
    "tanh_oscillator",
    "van_der_pol",
]
