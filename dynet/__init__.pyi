# The public names. Editors read them here, and `dynet/__init__.py` loads each on first use.

# systems
from .systems.map import Map as Map
from .systems.flow import Flow as Flow
from .systems.difference import finite_difference as finite_difference
from .systems.check import check_jacobian as check_jacobian
from .systems.trajectory import simulate as simulate
from .systems import networks as networks, zoo as zoo

# exponents
from .lyapunov.spectrum import lyapunov_spectrum as lyapunov_spectrum
from .lyapunov.dimension import (
    count_zero_exponents as count_zero_exponents,
    entropy_rate as entropy_rate,
    kaplan_yorke_dimension as kaplan_yorke_dimension,
    memory_time as memory_time,
)
from .lyapunov.comparison import compare as compare
from .lyapunov.table import summary as summary

# derivatives of trajectories
from .variational.forward import sensitivity as sensitivity
from .variational.backward import adjoint as adjoint
from .variational.gradients import gradient as gradient

# fixed points, cycles and their stability
from .orbits.fixed_points import find_fixed_points as find_fixed_points, sample_states as sample_states
from .orbits.limit_cycle import find_limit_cycle as find_limit_cycle
from .orbits.periodic_orbit import find_periodic_orbit as find_periodic_orbit
from .orbits.floquet import floquet_multipliers as floquet_multipliers
from .orbits.phase import (
    asymptotic_phase as asymptotic_phase,
    phase_response as phase_response,
    phase_shift as phase_shift,
)
from .orbits.rotation import rotation_number as rotation_number
from .orbits.classify import classify_attractor as classify_attractor

# files and pictures
from .io import load as load, save as save
from . import plot as plot

# trained torch models
from . import torch as torch

# errors
from .errors import (
    ConvergenceError as ConvergenceError,
    DivergenceError as DivergenceError,
    DynetError as DynetError,
    InputError as InputError,
)

__version__: str
