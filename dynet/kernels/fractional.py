"""Fractional derivatives along the last axis: periodic (Fourier) and causal (Grünwald-Letnikov).

``x`` is (..., time) in any array namespace, ``order`` is () or (...) in the same one and float64; both broadcast.
Everything is made of differentiable operations, so that tensors carry gradients with respect to both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import fft

from dynet.kernels.namespace import namespace, placed

#: Samples that are transformed together, so that their spectra stay in the cache of the processor.
_AT_ONCE = 2**15


def fourier_derivative(x: Any, order: Any, dt: float, keep_nyquist: bool) -> Any:
    """Return the periodic derivative: every frequency times ``(i w)^order``.

    The mean passes at order 0 alone. At the Nyquist frequency of an even number of samples, where only real numbers
    make a real signal, the real part is kept, or nothing but order 0.
    """
    xp = namespace(x)
    T = x.shape[-1]
    w = 2 * np.pi * fft.rfftfreq(T, dt)
    mean, nyquist = np.zeros(w.size), np.zeros(w.size)
    mean[0] = 1.0
    w[0] = 1.0
    if T % 2 == 0:
        nyquist[-1] = 1.0
    special = mean if keep_nyquist else mean + nyquist
    modulus = xp.exp(order[..., None] * placed(np.log(w), x)) * placed(1 - special, x)
    angle = order[..., None] * (np.pi / 2)
    identity = xp.astype(order == 0, xp.float64)[..., None] * placed(special, x)
    real = modulus * xp.cos(angle) + identity
    imaginary = modulus * xp.sin(angle) * placed(1 - nyquist, x)
    symbol = real + 1j * imaginary
    spectrum = _fft(xp).rfft(x)
    symbol = xp.astype(symbol, spectrum.dtype, copy=False)
    if xp is np and spectrum.shape == np.broadcast_shapes(spectrum.shape, symbol.shape):
        # in place, which saves a pass through memory
        spectrum *= symbol
        return fft.irfft(spectrum, n=T, overwrite_x=True)
    return xp.astype(_fft(xp).irfft(spectrum * symbol, n=T), x.dtype, copy=False)


def blocks(n_rows: int, n_samples: int) -> Iterator[slice]:
    """Yield slices of rows that fit into the cache together."""
    size = max(1, _AT_ONCE // n_samples)
    for first in range(0, n_rows, size):
        yield slice(first, first + size)


def causal_weights(order: Any, T: int) -> Any:
    """Return the Grünwald-Letnikov weights (..., T) of unit time step: the coefficients of ``(1 - z)^order``."""
    xp = namespace(order)
    k = placed(np.arange(1.0, T), order)
    factors = 1 - (order[..., None] + 1) / k
    return xp.cumprod(xp.concat([xp.ones_like(order)[..., None], factors], axis=-1), -1)


def padded_length(T: int) -> int:
    """Return the length of a transform in which T samples do not wrap around."""
    length: int = fft.next_fast_len(2 * T - 1, real=True)
    return length


def causal_derivative(x: Any, order: Any, dt: float) -> Any:
    """Return the causal derivative of a signal that is zero before its first sample."""
    xp = namespace(x)
    T = x.shape[-1]
    length = padded_length(T)
    weights = xp.astype(causal_weights(order, T) * dt ** -order[..., None], x.dtype, copy=False)
    spectrum = _fft(xp).rfft(x, n=length) * _fft(xp).rfft(weights, n=length)
    return xp.astype(_fft(xp).irfft(spectrum, n=length)[..., :T], x.dtype, copy=False)


def _fft(xp: Any) -> Any:
    """Return the transforms of a namespace; for numpy scipy's, which are faster."""
    return fft if xp is np else xp.fft
