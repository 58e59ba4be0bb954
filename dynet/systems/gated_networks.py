"""Networks of gated units: LSTM and GRU, the latter in discrete and in continuous time."""

from __future__ import annotations

from typing import Literal

from dynet._validate import Faults
from dynet.systems.cells import GRU, LSTM
from dynet.systems.flow import Flow
from dynet.systems.layered_systems import flow_of, map_of
from dynet.systems.map import Map
from dynet.typing import ArrayLike

__all__ = ["gru", "gru_flow", "lstm"]

GRUForm = Literal["torch", "gated-product", "paper"]


def lstm(
    W_hh: ArrayLike,
    W_xh: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    b_xh: ArrayLike | None = None,
    *,
    state: Literal["full", "hidden"] = "full",
) -> Map:
    """Return an LSTM in torch's layout and gate order (i, f, g, o); W_hh comes first.

    Parameters
    ----------
    W_hh : array (4 n, n), or list of them
        Recurrent weights; a list stacks layers.
    W_xh : array (4 n, m), optional, or list
        Input weights.
    b_hh, b_xh : array (4 n,), optional, or list
        Biases.
    state : {"full", "hidden"}, default "full"
        The full state (h of all layers, then c of all layers), or the hidden states alone at the memories
        of the trajectory, the object of Vogt et al. (2022).

    Returns
    -------
    Map

    References
    ----------
    Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; Vogt et al. (2022),
    doi:10.3389/fams.2022.818799.

    Examples
    --------
    Without weights every memory decays by the forget gate alone:

    >>> import dynet, numpy as np
    >>> system = dynet.networks.lstm(np.zeros((4, 1)), b_hh=np.zeros(4))
    >>> ds = dynet.lyapunov_spectrum(system, [0.1, 0.1], 50, n_transient=5)
    >>> ds.lyapunov_exponent.values.round(6)
    array([-0.693147,      -inf])
    """
    faults = Faults()
    faults.choice("state", state, ("full", "hidden"))
    faults.raise_if_any()
    return map_of(LSTM(), W_hh, W_xh, b_hh, b_xh, hidden=state == "hidden")


def gru(
    W_hh: ArrayLike,
    W_xh: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    b_xh: ArrayLike | None = None,
    *,
    form: GRUForm = "torch",
) -> Map:
    """Return a GRU ``h' = (1 - z) n + z h`` in torch's layout and gate order (r, z, n).

    Parameters
    ----------
    W_hh : array (3 n, n), or list of them
        Recurrent weights; a list stacks layers.
    W_xh : array (3 n, m), optional, or list
        Input weights.
    b_hh, b_xh : array (3 n,), optional, or list
        Biases.
    form : {"torch", "gated-product", "paper"}
        Where the reset gate stands: tanh(W x + b_x + r (U h + b_h)), tanh(W x + b_x + r (U h) + b_h), or
        tanh(W x + b_x + U (r h) + b_h).

    Returns
    -------
    Map

    References
    ----------
    Cho et al. (2014), doi:10.3115/v1/D14-1179.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> system = dynet.networks.gru(np.zeros((3, 1)))
    >>> ds = dynet.lyapunov_spectrum(system, [0.3], 50)
    >>> round(float(np.exp(ds.lyapunov_exponent[0])), 6)
    0.5
    """
    return map_of(_gru_cell(form), W_hh, W_xh, b_hh, b_xh)


def gru_flow(
    W_hh: ArrayLike,
    W_xh: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    b_xh: ArrayLike | None = None,
    *,
    tau: float = 1.0,
    form: GRUForm = "torch",
) -> Flow:
    """Return the continuous GRU ``tau dh/dt = (1 - z) (n - h)``; its Euler map at dt = tau is `gru`.

    Parameters other than ``tau`` (time constant) are those of `gru`.

    References
    ----------
    Jordan, Sokół & Park (2021), doi:10.3389/fncom.2021.678158.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> flow = dynet.networks.gru_flow(np.zeros((3, 1)), form="paper")
    >>> float(flow.rhs(0.0, np.array([1.0]), np.empty(0), flow.params)[0])
    -0.5
    """
    return flow_of(_gru_cell(form), tau, W_hh, W_xh, b_hh, b_xh)


def _gru_cell(form: str) -> GRU:
    faults = Faults()
    faults.choice("form", form, ("torch", "gated-product", "paper"))
    faults.raise_if_any()
    return GRU(form)
