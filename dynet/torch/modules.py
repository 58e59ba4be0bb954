"""A recurrent module of units whose activation is learned."""

from __future__ import annotations

import torch
from torch import nn

from dynet.errors import InputError
from dynet.torch.gamma import Gamma
from dynet.torch.recurrent_module import RecurrentModule, first_state

__all__ = ["GammaRNN"]


class GammaRNN(RecurrentModule):
    """One layer ``h' = gamma(W_hh h + W_xh x + b; n, s)`` whose gains n and saturations s can be learned.

    Parameters
    ----------
    input_size, hidden_size : int
        Channels of the input, units.
    bias : bool, default True
        Whether there is a b.
    per_unit : bool, default True
        Give each unit its own n and s; otherwise all share them.
    trainable : bool, default True
        Learn n and s; otherwise they are buffers, saved with the weights.
    batch_first : bool, default False
        Whether sequences are (batch, time, channel) instead of (time, batch, channel).
    device, dtype
        Those of the parameters.

    Notes
    -----
    W_hh starts orthogonal, W_xh as Xavier's, b at 0, n uniform in (5, 7) and s at 0. Nothing keeps n positive in
    training: the next call then raises, for the activation has a pole at n = 0. With s < 1 it has no upper bound.
    Gradients are those of the formulas in `dynet.gamma_activation`, without cancellation in float32.
    `dynet.torch.from_module` makes the map, with an analytic Jacobian.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import GammaRNN, from_module
    >>> _ = torch.manual_seed(0)
    >>> rnn = GammaRNN(2, 3)
    >>> output, last = rnn(torch.zeros(10, 4, 2))
    >>> output.shape, last.shape
    (torch.Size([10, 4, 3]), torch.Size([1, 4, 3]))
    >>> from_module(rnn).step.description
    'gamma RNN, 1 layer of 3 units, 2 inputs'
    """

    n: torch.Tensor
    s: torch.Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        per_unit: bool = True,
        trainable: bool = True,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size=input_size, hidden_size=hidden_size, batch_first=batch_first)

        def empty(*shape: int) -> torch.Tensor:
            return torch.empty(shape, device=device, dtype=dtype)

        self.W_hh = nn.Parameter(empty(hidden_size, hidden_size))
        self.W_xh = nn.Parameter(empty(hidden_size, input_size))
        self.b = nn.Parameter(empty(hidden_size)) if bias else None
        shape = (hidden_size,) if per_unit else ()
        for name in ("n", "s"):
            if trainable:
                self.register_parameter(name, nn.Parameter(empty(*shape)))
            else:
                self.register_buffer(name, empty(*shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        nn.init.orthogonal_(self.W_hh)
        nn.init.xavier_uniform_(self.W_xh)
        nn.init.uniform_(self.n, 5.0, 7.0)
        nn.init.zeros_(self.s)
        if self.b is not None:
            nn.init.zeros_(self.b)

    def forward(self, x: torch.Tensor, h: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Run over sequences, as `torch.nn.RNN` does.

        Parameters
        ----------
        x : Tensor (time, batch, channel)
            Inputs; (batch, time, channel) with ``batch_first``, or (time, channel).
        h : Tensor (1, batch, unit), optional
            First state, (1, unit) for one sequence; zeros if not given.

        Returns
        -------
        output : Tensor (time, batch, unit)
            States after each step, in the order of the inputs.
        h : Tensor (1, batch, unit)
            The last state.

        Raises
        ------
        InputError
            If shapes do not fit, or a gain is no longer positive.
        """
        steps = self.driven_steps(x)
        if not bool((self.n > 0).all()):
            raise InputError("a gain n is not positive: training has left the range of the activation; lower the rate")
        state = first_state("h", h, steps[0])
        states = []
        for step in steps:
            a = nn.functional.linear(state, self.W_hh) + step
            state = Gamma.apply(a, self.n, self.s)
            states.append(state)
        return self.series(states, x), state[None]
