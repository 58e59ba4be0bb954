"""Losses and metrics by epoch, of one training or of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.plot._axes import axes_of, colour, label_of, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["loss_curves"]

_LABELS = {"loss": "loss", "validation_loss": "validation loss", "metric": "metric"}


def loss_curves(
    results: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    quantity: Literal["loss", "validation_loss", "metric"] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw losses, or the metric, against the epoch of the training.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.torch.train`, or from a `sweep` over it that kept its curves; names become the legend. Where there
        is a dimension ``repeat`` each repeat is a thin line, their median a thick one, and a band spans all of them.
    quantity : {"loss", "validation_loss", "metric"}, optional
        What is drawn. If not given: of one result the training loss and, dashed, the validation loss; of several the
        training loss.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        Positive losses that span more than a factor of ten are on a logarithmic scale.

    Raises
    ------
    InputError
        If a result is not from `dynet.torch.train`, or has further dimensions.

    Examples
    --------
    >>> import dynet
    >>> task = dynet.tasks.SequentialImages("digits")
    >>> model = dynet.torch.SequenceModel("gru", task.n_channels, 8, task.n_outputs, rng=0)
    >>> dynet.plot.loss_curves(dynet.torch.train(model, task, n_epochs=2)).get_xlabel()
    'epoch'
    """
    named = named_results(results, "validation_loss", "dynet.torch.train")
    faults = Faults()
    if quantity is not None:
        faults.choice("quantity", quantity, _LABELS)
    for name, result in named.items():
        if {*result["loss"].dims} - {"repeat"} != {"epoch"}:
            dims = ", ".join(map(str, result["loss"].dims))
            faults.say(f"{label_of(name)} has dimensions {dims}: select along all but epoch and repeat")
    faults.raise_if_any()
    ax = axes_of(ax)
    shown = [quantity] if quantity else ["loss", "validation_loss"] if len(named) == 1 else ["loss"]
    drawn = []
    for number, (name, result) in enumerate(named.items()):
        for style, variable in zip(("-", "--"), shown, strict=False):
            if result[variable].isnull().all():
                continue
            label = ", ".join(part for part in (name, _LABELS[variable] if len(shown) > 1 else "") if part)
            drawn.append(_curve(ax, result[variable], label, colour(number), style))
    values = np.concatenate([np.ravel(one) for one in drawn]) if drawn else np.ones(1)
    values = values[np.isfinite(values)]
    if quantity != "metric" and values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")
    ax.set_xlabel("epoch")
    ax.set_ylabel(_LABELS[quantity or "loss"])
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
    tidy(ax)
    return ax


def _curve(ax: Axes, curve: xr.DataArray, label: str, shade: str, style: str) -> np.ndarray:
    """Draw one training, or the spread of its repeats; return what was drawn."""
    epochs = curve["epoch"].values
    if "repeat" not in curve.dims:
        ax.plot(epochs, curve.values, style, color=shade, linewidth=1.6, label=label or None)
        return curve.values
    values = curve.transpose("repeat", "epoch").values
    known = values[np.isfinite(values).any(axis=1)]  # repeats that failed altogether
    ax.plot(epochs, known.T, style, color=shade, linewidth=0.5, alpha=0.5)
    ax.fill_between(epochs, np.nanmin(known, axis=0), np.nanmax(known, axis=0), color=shade, alpha=0.12, linewidth=0)
    ax.plot(epochs, np.nanmedian(known, axis=0), style, color=shade, linewidth=1.8, label=label or None)
    return known
