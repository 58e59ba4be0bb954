"""A recurrent module of units whose gains and saturations adapt as they run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

from dynet.errors import InputError
from dynet.torch.gamma import Gamma
from dynet.torch.orthogonal import orthogonal_
from dynet.torch.recurrent_module import RecurrentModule, first_state, two_states

__all__ = ["AdaptiveRNN"]

#: The parameters of a controller, as `dynet.networks.adaptive_rnn` calls them.
CONTROLLER = ("W_ag", "W_gg", "b_g", "W_gn", "b_n", "W_gs", "b_s")


class AdaptiveRNN(RecurrentModule):
    r"""One layer of adaptive recurrent units (ARU): each has a controller that moves its gain and saturation.

    .. math::
        a &= W_{hh} h + W_{xh} x + b, & g_i' &= \tanh(W_{ag} a_i + W_{gg} g_i + b_g), \\
        n_i &= W_{gn} g_i' + b_n, \quad s_i = W_{gs} g_i' + b_s, & h_i' &= \gamma(a_i; n_i, s_i)

    The weights of the controller are shared by all units, its state g is private to each.

    Parameters
    ----------
    input_size, hidden_size : int
        Channels of the input, units.
    controller_size : int, default 50
        States of each controller.
    bias : bool, default True
        Whether there is a b.
    batch_first : bool, default False
        Whether sequences are (batch, time, channel) instead of (time, batch, channel).
    device, dtype
        Those of the parameters.

    Notes
    -----
    W_hh starts as `orthogonal_` makes it ("henaff"), W_xh, W_ag and W_gg as Xavier's uniform weights, those of W_gn
    with gain 0.1 and of W_gs with gain 0.01, b_n uniform in (5, 7), all other biases at 0. Nothing keeps n positive:
    a call in which a gain is not positive raises, for the activation has a pole at n = 0. With s < 1 it has no upper
    bound. `dynet.torch.from_module` makes the map, with the Jacobian of the full state (h, g) as an operator.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import AdaptiveRNN, from_module
    >>> _ = torch.manual_seed(0)
    >>> rnn = AdaptiveRNN(2, 3, controller_size=5)
    >>> output, (h, g) = rnn(torch.zeros(10, 4, 2))
    >>> output.shape, h.shape, g.shape
    (torch.Size([10, 4, 3]), torch.Size([1, 4, 3]), torch.Size([1, 4, 3, 5]))
    >>> from_module(rnn).step.description
    'adaptive RNN, 1 layer of 3 units, 2 inputs'
    """

    controller_size: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        controller_size: int = 50,
        *,
        bias: bool = True,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            input_size=input_size, hidden_size=hidden_size, controller_size=controller_size, batch_first=batch_first
        )

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.W_hh = parameter(hidden_size, hidden_size)
        self.W_xh = parameter(hidden_size, input_size)
        self.b = parameter(hidden_size) if bias else None
        self.W_ag = parameter(controller_size)
        self.W_gg = parameter(controller_size, controller_size)
        self.b_g = parameter(controller_size)
        self.W_gn, self.b_n = parameter(controller_size), parameter()
        self.W_gs, self.b_s = parameter(controller_size), parameter()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        orthogonal_(self.W_hh)
        nn.init.xavier_uniform_(self.W_xh)
        nn.init.xavier_uniform_(self.W_gg)
        with torch.no_grad():  # columns and rows of matrices, to which Xavier's rule applies
            nn.init.xavier_uniform_(self.W_ag[:, None])
            nn.init.xavier_uniform_(self.W_gn[None], gain=0.1)
            nn.init.xavier_uniform_(self.W_gs[None], gain=0.01)
        nn.init.uniform_(self.b_n, 5.0, 7.0)
        for bias in (self.b, self.b_g, self.b_s):
            if bias is not None:
                nn.init.zeros_(bias)

    def forward(
        self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Run over sequences, as `torch.nn.LSTM` does.

        Parameters
        ----------
        x : Tensor (time, batch, channel)
            Inputs; (batch, time, channel) with ``batch_first``, or (time, channel).
        state : tuple of Tensor, optional
            First state: h (1, batch, unit) and g (1, batch, unit, controller), (1, unit) and (1, unit, controller)
            for one sequence; zeros if not given.

        Returns
        -------
        output : Tensor (time, batch, unit)
            h after each step, in the order of the inputs.
        state : tuple of Tensor
            The last h and g.

        Raises
        ------
        InputError
            If shapes do not fit, or a gain was not positive.
        """
        steps = self.driven_steps(x)
        first_h, first_g = two_states(state, "h", "g")
        h = first_state("h", first_h, steps[0])
        g = first_state("g", first_g, steps[0], self.controller_size)
        states = []
        lowest = torch.full_like(self.b_n.detach(), torch.inf)
        for step in steps:
            a = linear(h, self.W_hh) + step
            g = torch.tanh(a[..., None] * self.W_ag + linear(g, self.W_gg, self.b_g))
            n, s = g @ self.W_gn + self.b_n, g @ self.W_gs + self.b_s
            h = Gamma.apply(a, n, s)
            states.append(h)
            if n.numel():
                lowest = torch.minimum(lowest, n.detach().amin())
        # looked at once: a device would have to wait at every step
        if not bool(lowest > 0):
            if not bool(torch.isfinite(x).all()):
                raise InputError("x is not finite: repair or leave out those sequences")
            raise InputError(
                f"a gain n fell to {float(lowest):.3g}, where the activation has no meaning: keep W_gn smaller than "
                "b_n, or lower the rate of training"
            )
        return self.series(states, x), (h[None], g[None])

    def settings(self) -> dict[str, Any]:
        """Return what representations show besides the two sizes."""
        return {"controller_size": self.controller_size, **super().settings()}
