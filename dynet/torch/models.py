"""A model of sequences: an encoder, a recurrent core, a linear readout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.systems.map import Map
from dynet.torch.adapter import from_module
from dynet.torch.adaptive import AdaptiveRNN
from dynet.torch.cornn import CoRNN
from dynet.torch.modules import GammaRNN
from dynet.typing import Rng

__all__ = ["SequenceModel", "matched_units"]

#: Name of a core -> module of (n_channels, n_units) whose output is (output, state), batch first.
CORES: dict[str, Callable[[int, int], nn.Module]] = {
    "tanh": lambda M, H: nn.RNN(M, H, batch_first=True),
    "relu": lambda M, H: nn.RNN(M, H, nonlinearity="relu", batch_first=True),
    "lstm": lambda M, H: nn.LSTM(M, H, batch_first=True),
    "gru": lambda M, H: nn.GRU(M, H, batch_first=True),
    "gamma": lambda M, H: GammaRNN(M, H, batch_first=True),
    "adaptive": lambda M, H: AdaptiveRNN(M, H, batch_first=True),
    "cornn": lambda M, H: CoRNN(M, H, batch_first=True),
}


class SequenceModel(nn.Module):
    """Reads a sequence through a recurrent core, and answers after the last step or after every step.

    Parameters
    ----------
    core : {"tanh", "relu", "lstm", "gru", "gamma", "adaptive", "cornn"} or torch.nn.Module
        The recurrent part; a module of your own takes (sequence, time, channel) and returns (output, state).
    n_channels : int
        Channels that the core reads.
    n_units : int
        Units of the core, which are the channels of its output.
    n_outputs : int
        Channels of the answer: scores of classes, or values.
    every_step : bool, default False
        Answer (sequence, time, output) after every step instead of (sequence, output) after the last.
    encoder : torch.nn.Module, optional
        What is done to raw inputs first, such as ``torch.nn.Embedding``, ``torch.nn.Linear`` or `ImageEncoder`.
    rng : Generator or int, optional
        Source of all weights that are made here; None means ``default_rng(0)``. torch's own random state is left as it
        was.

    Raises
    ------
    InputError
        If the core is unknown, or a size is not positive.

    See Also
    --------
    matched_units : Sizes at which different cores have as many parameters.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import SequenceModel
    >>> model = SequenceModel("lstm", 1, 16, 10, rng=0)
    >>> model(torch.zeros(5, 64, 1)).shape
    torch.Size([5, 10])
    >>> model.system().step.description
    "LSTM, 1 layer of 16 units, 1 input (submodule 'core')"
    """

    def __init__(
        self,
        core: str | nn.Module,
        n_channels: int,
        n_units: int,
        n_outputs: int,
        *,
        every_step: bool = False,
        encoder: nn.Module | None = None,
        rng: Rng = None,
    ) -> None:
        faults = Faults()
        for name, value in (("n_channels", n_channels), ("n_units", n_units), ("n_outputs", n_outputs)):
            faults.integer(name, value, 1)
        if not isinstance(core, nn.Module):
            faults.choice("core", core, CORES)
        generator = faults.generator("rng", rng)
        faults.raise_if_any()
        super().__init__()
        self.every_step, self.encoder = every_step, encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator.integers(2**63)))
            self.core = CORES[core](n_channels, n_units) if isinstance(core, str) else core
            self.readout = nn.Linear(n_units, n_outputs)

    def system(self, *, dtype: Any = "float64") -> Map:
        """Return the core as a system, driven by raw inputs; it runs in evaluation mode."""
        return from_module(self, submodule="core", encode=self.encoder, dtype=dtype)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the answers (sequence, output), or (sequence, time, output) with ``every_step``."""
        outputs, _ = self.core(inputs if self.encoder is None else self.encoder(inputs))
        answers: torch.Tensor = self.readout(outputs if self.every_step else outputs[:, -1])
        return answers


def matched_units(make: Callable[[int], nn.Module], n_parameters: int, *, tolerance: float = 0.02) -> int:
    """Return the number of units at which a model has as many parameters as another.

    Parameters
    ----------
    make : callable
        ``make(n_units)`` returns the model. Its number of parameters must grow with the units.
    n_parameters : int
        The number to be met.
    tolerance : float, default 0.02
        Largest relative difference.

    Returns
    -------
    int
        The number of units that comes closest.

    Raises
    ------
    InputError
        If no number of units comes that close.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567, section 5.2.

    Examples
    --------
    >>> from dynet.torch import SequenceModel, matched_units
    >>> tanh = SequenceModel("tanh", 1, 400, 10)
    >>> n = sum(p.numel() for p in tanh.parameters())
    >>> matched_units(lambda units: SequenceModel("lstm", 1, units, 10), n)
    200
    """
    faults = Faults()
    faults.integer("n_parameters", n_parameters, 1)
    faults.positive("tolerance", tolerance)
    faults.raise_if_any()

    def count(n_units: int) -> int:
        with torch.device("meta"):  # shapes alone
            return sum(p.numel() for p in make(n_units).parameters())

    low, high, before = 1, 2, 0
    while (reached := count(high)) < n_parameters:
        if reached <= before:
            raise InputError(f"make: {high} units have no more parameters than {low}: give a function of the units")
        low, high, before = high, 2 * high, reached
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < n_parameters else (low, middle)
    best = min((low, high), key=lambda n_units: abs(count(n_units) - n_parameters))
    found = count(best)
    if abs(found - n_parameters) > tolerance * n_parameters:
        raise InputError(
            f"n_parameters={shown(n_parameters)}: {best} units come closest, with {found} parameters, which is further "
            f"off than {100 * tolerance:g} %: give a larger tolerance, or another number"
        )
    return best
