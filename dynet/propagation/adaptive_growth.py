"""Growth of perturbations in adaptive units: with gains and saturations held, of the full state, of a controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dynet.adaptation.traces import adaptation_trace
from dynet.errors import DivergenceError
from dynet.kernels.namespace import move_like, namespace, to_numpy
from dynet.lyapunov.covariant import covariant_vectors
from dynet.lyapunov.participation import vector_participation
from dynet.lyapunov.spectrum import lyapunov_spectrum
from dynet.propagation.activation_maps import unbounded
from dynet.systems.adaptive_networks import frozen_controllers, require_adaptive
from dynet.systems.map import Map
from dynet.typing import Rng

PARTS = ("h", "g")
#: Numbers of covariant vectors that are kept at a time.
_MOST_NUMBERS = 2**22


class Setting(NamedTuple):
    """How long the runs are."""

    inputs: Any
    n_steps: int
    n_transient: int
    n_exponents: int
    rng: Rng


class Held(NamedTuple):
    """Gains and saturations (neuron,), and the state (n,) that they were found in."""

    n: np.ndarray
    s: np.ndarray
    state: np.ndarray


class Growth(NamedTuple):
    """Exponents of one network, (k,), and the weights of (h, g) in their vectors, (k, 2)."""

    exponent: np.ndarray
    error: np.ndarray
    weight: np.ndarray
    weight_error: np.ndarray
    message: str


def held_after(system: Map, x0: Any, setting: Setting) -> Held:
    """Return what the controllers have come to after the transient."""
    rows = None if setting.inputs is None else setting.inputs[: setting.n_transient]
    trace = adaptation_trace(system, x0, setting.n_transient, inputs=rows)
    return Held(trace["gain"].values[-1], trace["saturation"].values[-1], trace["final_state"].values)


def caught(call: Callable[[], Growth], k: int) -> Growth:
    """Return what a call finds, or not a number if the network diverges."""
    try:
        return call()
    except DivergenceError as error:
        nothing = np.full(k, np.nan)
        return Growth(nothing, nothing, np.full((k, 2), np.nan), np.full((k, 2), np.nan), str(error))


def frozen_growth(system: Map, held: Held, h: np.ndarray, setting: Setting) -> Growth:
    """Return the exponents of the network with gains and saturations held, from the activities ``h`` on."""
    frozen = frozen_controllers(system, held.n, held.s)
    k, wanted = min(setting.n_exponents, h.size), setting.n_exponents
    spectrum = lyapunov_spectrum(
        frozen,
        h,
        setting.n_steps,
        inputs=setting.inputs,
        n_exponents=k,
        n_transient=setting.n_transient,
        rng=setting.rng,
    )

    def padded(values: Any) -> np.ndarray:
        out = np.full(wanted, np.nan)
        out[:k] = values
        return out

    weight, error = np.full((2, wanted, 2), np.nan)
    weight[:k], error[:k] = (1.0, 0.0), 0.0
    return Growth(
        padded(spectrum["lyapunov_exponent"].values),
        padded(spectrum["standard_error"].values),
        weight,
        error,
        unbounded(spectrum["final_state"].values),
    )


def full_growth(system: Map, x0: Any, setting: Setting) -> Growth:
    """Return the exponents of the state (h, g), and where its covariant vectors lie."""
    k, n = setting.n_exponents, system.like.shape[-1]
    # the first vector needs nothing after it
    n_backward = min(setting.n_transient, setting.n_steps // 2) if k > 1 else 0
    window = setting.n_steps - n_backward
    ds = covariant_vectors(
        system,
        0 * system.like if x0 is None else x0,
        window,
        inputs=setting.inputs,
        n_exponents=k,
        n_transient=setting.n_transient,
        n_backward=n_backward,
        every=max(1, -(-window * n * k // _MOST_NUMBERS)),
        rng=setting.rng,
    )
    shares = vector_participation(ds, "part")
    weight = [shares[name].sel(part=list(PARTS)).transpose("exponent", "part") for name in ("weight", "standard_error")]
    rates, errors = ds["lyapunov_exponent"].values, ds["standard_error"].values
    return Growth(rates, errors, weight[0].values, weight[1].values, unbounded(ds["state"].values))


def controller_exponents(system: Map, x0: Any, setting: Setting) -> np.ndarray:
    """Return the rate (neuron,) at which perturbations of each controller grow when what it reads is given."""
    cell, w = require_adaptive(system)
    H, G = w.W_hh.shape[-1], cell.n_controller
    x = move_like(np.zeros(H + H * G) if x0 is None else x0, system.like)
    xp = namespace(x)
    v = move_like(np.random.default_rng(0).standard_normal((H, G)), x)
    growth = np.zeros(H)
    rows = None if setting.inputs is None else move_like(setting.inputs, x)
    state = (x[:H], x[H:])
    for step in range(setting.n_transient + setting.n_steps):
        u = None if rows is None else rows[step]
        state, kept = cell.forward(u, state, w)
        v = (v @ w.W_gg.mT) * cell.slopes(kept, w).of_g
        norm = xp.sqrt(xp.sum(v * v, axis=-1))
        if step >= setting.n_transient:
            with np.errstate(divide="ignore"):
                growth += np.log(to_numpy(norm).astype(np.float64))
        v = v / xp.where(norm > 0, norm, xp.ones_like(norm))[:, None]
    return growth / (setting.n_steps * system.dt)
