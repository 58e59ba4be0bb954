# The public names. Editors read them here, and `dynet/__init__.py` loads each on first use.

# systems
from .systems.map import Map as Map
from .systems.flow import Flow as Flow
from .systems.difference import finite_difference as finite_difference
from .systems.check import check_jacobian as check_jacobian
from .systems.trajectory import simulate as simulate
from .systems.gamma import (
    gamma_activation as gamma_activation,
    gamma_mean_slope as gamma_mean_slope,
    gamma_slope_bound as gamma_slope_bound,
)
from .kernels.gamma import compiled_gamma as compiled_gamma, compiled_gamma_slope as compiled_gamma_slope
from .systems import networks as networks, theory as theory, zoo as zoo

# exponents
from .lyapunov.spectrum import lyapunov_spectrum as lyapunov_spectrum
from .lyapunov.dimension import (
    count_zero_exponents as count_zero_exponents,
    entropy_rate as entropy_rate,
    kaplan_yorke_dimension as kaplan_yorke_dimension,
    memory_time as memory_time,
)
from .lyapunov.covariant import covariant_vectors as covariant_vectors
from .lyapunov.local import finite_time_exponents as finite_time_exponents
from .lyapunov.oseledets import oseledets_matrix as oseledets_matrix
from .lyapunov.participation import vector_participation as vector_participation
from .lyapunov.splitting import splitting_angles as splitting_angles
from .lyapunov.comparison import compare as compare
from .lyapunov.distance import spectrum_distance as spectrum_distance
from .lyapunov.table import summary as summary

# propagation
from .propagation.input_singular import input_singular_values as input_singular_values
from .propagation.singular import singular_values as singular_values
from .propagation.norms import jacobian_norms as jacobian_norms
from .propagation.gradients import gradient_norms as gradient_norms
from .propagation.activation_maps import jacobian_map as jacobian_map
from .propagation.recurrent_spectra import recurrent_eigenvalues as recurrent_eigenvalues
from .propagation.adaptation_exponents import adaptive_exponents as adaptive_exponents
from .propagation.horizon import gradient_horizon as gradient_horizon
from .propagation.normality import non_normality as non_normality
from .propagation.pseudospectra import pseudospectrum as pseudospectrum
from .propagation.state_statistics import (
    autocorrelation_time as autocorrelation_time,
    participation_ratio as participation_ratio,
)
from .systems.closed_loop import close_loop as close_loop
from .propagation.driven import echo_state as echo_state
from .propagation.gain_response import input_gain as input_gain, variance_components as variance_components
from .propagation.two_trajectories import two_trajectory_exponent as two_trajectory_exponent
from .propagation.retention import perturbation_retention as perturbation_retention

# fractional orders
from .fractional.derivative import fractional_derivative as fractional_derivative
from .fractional.order import fractional_order as fractional_order
from .fractional.sinusoid import sinusoid_order as sinusoid_order
from .fractional.comparison import compare_orders as compare_orders

# adaptation of single neurons
from .adaptation.gain import fit_gain_scaling as fit_gain_scaling, gain_scaling_stimulus as gain_scaling_stimulus
from .adaptation.kinetics import fit_adaptation as fit_adaptation
from .adaptation.traces import adaptation_trace as adaptation_trace
from .adaptation.responses import (
    response_curve as response_curve,
    response_distribution as response_distribution,
)
from .adaptation.boundary import boundary_distance as boundary_distance
from .adaptation.controller import controller_manifold as controller_manifold
from .adaptation.stability import noise_gain as noise_gain, stability_boundary as stability_boundary

# derivatives of trajectories
from .variational.forward import sensitivity as sensitivity
from .variational.forced import forced_response as forced_response
from .variational.backward import adjoint as adjoint
from .variational.gradients import gradient as gradient

# fixed points, cycles and their stability
from .orbits.fixed_points import find_fixed_points as find_fixed_points
from .orbits.sampled_states import sample_states as sample_states
from .orbits.limit_cycle import find_limit_cycle as find_limit_cycle
from .orbits.periodic_orbit import find_periodic_orbit as find_periodic_orbit
from .orbits.floquet import floquet_multipliers as floquet_multipliers
from .orbits.floquet_modes import floquet_modes as floquet_modes
from .orbits.response import amplitude_response as amplitude_response, phase_response as phase_response
from .orbits.phase import asymptotic_phase as asymptotic_phase, phase_shift as phase_shift
from .orbits.rotation import rotation_number as rotation_number
from .orbits.continuation import continue_orbit as continue_orbit
from .orbits.hopf_cycles import cycle_from_hopf as cycle_from_hopf
from .orbits.classify import classify_attractor as classify_attractor
from .orbits.parameter_plane import exponent_map as exponent_map
from .orbits.robustness import zero_exponent_robustness as zero_exponent_robustness

# grids of parameters
from .sweeps.run import sweep as sweep
from .sweeps.grid import sample_points as sample_points

# tasks to train on
from . import tasks as tasks

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
