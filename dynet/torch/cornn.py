"""The coRNN as a torch module."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dynet.systems.coupled_oscillators import CoupledOscillators, OscillatorWeights, checked_constants
from dynet.torch.recurrent_module import RecurrentModule, first_state, two_states

__all__ = ["CoRNN"]


class CoRNN(RecurrentModule):
    """One layer of coupled, damped oscillators: positions y and velocities z.

    ``z' = z + dt (tanh(W_hh y + W_zh z + W_xh x + b) - gamma y - epsilon z)`` and ``y' = y + dt z'``.

    Parameters
    ----------
    input_size, hidden_size : int
        Channels of the input, units.
    dt, gamma, epsilon : float
        Time step, frequency squared and damping; the defaults are those of the authors' sequential images.
    bias : bool, default True
        Whether there is a b.
    batch_first : bool, default False
        Whether sequences are (batch, time, channel) instead of (time, batch, channel).
    device, dtype
        Those of the parameters.

    Raises
    ------
    InputError
        If a size or a constant is not positive.

    Notes
    -----
    The three constants are buffers, saved with the weights. All weights start uniform within ``1 / sqrt(columns)``, as
    those of `torch.nn.Linear`.

    References
    ----------
    Rusch & Mishra (2021), arXiv:2010.00951.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import CoRNN, from_module
    >>> rnn = CoRNN(2, 3)
    >>> output, (y, z) = rnn(torch.zeros(10, 4, 2))
    >>> output.shape, y.shape
    (torch.Size([10, 4, 3]), torch.Size([1, 4, 3]))
    >>> from_module(rnn).step.description
    'coRNN, 1 layer of 3 units, 2 inputs'
    """

    dt: torch.Tensor
    gamma: torch.Tensor
    epsilon: torch.Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 0.042,
        gamma: float = 2.7,
        epsilon: float = 4.7,
        bias: bool = True,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size=input_size, hidden_size=hidden_size, batch_first=batch_first)
        for name, value in zip(("dt", "gamma", "epsilon"), checked_constants(dt, gamma, epsilon), strict=True):
            self.register_buffer(name, torch.tensor(value.item(), device=device, dtype=dtype))

        def uniform(*shape: int, within: float) -> nn.Parameter:
            values = torch.empty(shape, device=device, dtype=dtype)
            return nn.Parameter(nn.init.uniform_(values, -within, within))

        H, M = hidden_size, input_size
        within = (M + 2 * H) ** -0.5  # the three matrices are one layer over (x, z, y)
        self.W_hh, self.W_zh, self.W_xh = (uniform(H, columns, within=within) for columns in (H, H, M))
        self.b = uniform(H, within=within) if bias else None

    def forward(
        self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Run over sequences, as `torch.nn.LSTM` does.

        Parameters
        ----------
        x : Tensor (time, batch, channel)
            Inputs; (batch, time, channel) with ``batch_first``, or (time, channel).
        state : (y, z), optional
            First positions and velocities, each (1, batch, unit), or (1, unit) for one sequence; zeros if not given.

        Returns
        -------
        output : Tensor (time, batch, unit)
            Positions after each step, in the order of the inputs.
        state : (y, z)
            The last ones.

        Raises
        ------
        InputError
            If shapes do not fit.
        """
        steps = self.driven_steps(x)
        first_y, first_z = two_states(state, "y", "z")
        y, z = first_state("y", first_y, steps[0]), first_state("z", first_z, steps[0])
        cell, positions = CoupledOscillators(), []
        for driven in steps:
            # the driven part stands where the bias of one step stands
            w = OscillatorWeights(self.W_hh, None, None, driven, self.W_zh, self.dt, self.gamma, self.epsilon)
            (y, z), _ = cell.forward(None, (y, z), w)
            positions.append(y)
        return self.series(positions, x), (y[None], z[None])

    def settings(self) -> dict[str, Any]:
        """Return what representations show besides the two sizes."""
        return {"dt": f"{float(self.dt):g}", **super().settings()}
