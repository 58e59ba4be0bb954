"""A tanh network that starts on limit cycles learns permuted sequential MNIST; the curve is kept as a netCDF file.

    python tutorials/runs/psmnist.py --folder DATA --units 128 --epochs 12 --out tutorials/runs/psmnist.nc

An epoch of 128 units takes about 4 minutes on one core. A run that is stopped goes on with the same command.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
import xarray as xr
from torch import nn
from torch.nn import functional

import dynet
from dynet.tasks import SequentialImages
from dynet.torch import SequenceModel, evaluate, from_module, limit_cycle_, train


class StartSignal(nn.Module):
    """One step before the image, with a channel of its own, which sets all oscillators going.

    From the origin they would be set going by the first bright pixel: their phases would tell when that was, and little
    else.
    """

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return pixels (sequence, time, 1) as (sequence, 1 + time, 2)."""
        padded = functional.pad(pixels, (0, 1, 1, 0))
        padded[..., 0, 1] = 1.0
        return padded


def two_rates(model: nn.Module, ratio: float) -> Callable[..., torch.optim.Optimizer]:
    """Return Adam whose rate is lower, by a ratio, for recurrent weights and biases.

    They move the frequencies of oscillators, and what that does to a phase grows with time: so do their
    gradients, but not those of input and readout.
    """
    names = [name for name, _ in model.named_parameters()]
    slow = [name.startswith("core.") and "weight_ih" not in name for name in names]

    def make(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        rates = [ratio * lr if is_slow else lr for is_slow in slow]
        return torch.optim.Adam([{"params": [p], "lr": rate} for p, rate in zip(parameters, rates, strict=True)])

    return make


def driven_spectrum(model: SequenceModel, task: SequentialImages) -> xr.Dataset:
    """Return the exponents of the network while it reads the first test images, mean over them."""
    images = model.encoder(torch.from_numpy(task.test.inputs[:16]))
    n_transient = images.shape[1] // 8
    system = from_module(model, submodule="core", dtype="float64")
    spectrum = dynet.lyapunov_spectrum(
        system, None, images.shape[1] - n_transient, inputs=images.numpy(), n_transient=n_transient
    )
    return spectrum[["lyapunov_exponent", "standard_error"]]


def main() -> None:
    """Read the options, train or go on, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mnist", choices=("mnist", "digits"))
    parser.add_argument("--folder", help="where mnist/ is; DYNET_DATA if not given")
    parser.add_argument("--init", default="limit_cycle", choices=("limit_cycle", "default"))
    parser.add_argument("--alpha", type=float, default=1.5, help="gain of the oscillators")
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--ratio", type=float, default=0.03, help="rate of recurrent weights and biases to the others'")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("psmnist.nc"))
    options = parser.parse_args()

    task = SequentialImages(options.dataset, folder=options.folder, permute=True, rng=options.seed)
    model = SequenceModel("tanh", 2, options.units, task.n_outputs, encoder=StartSignal(), rng=options.seed)
    if options.init == "limit_cycle":
        limit_cycle_(model.core, alpha=options.alpha, rng=options.seed)
        with torch.no_grad():  # as large as the cycles
            generator = torch.Generator().manual_seed(options.seed)
            model.core.weight_ih_l0[:, 1].normal_(0, 0.7, generator=generator)
    before = driven_spectrum(model, task)
    result = train(
        model,
        task,
        n_epochs=options.epochs,
        batch_size=options.batch,
        learning_rate=options.rate,
        optimizer=two_rates(model, options.ratio),
        clip=None,
        schedule="cosine",
        n_threads=1,
        rng=options.seed,
        checkpoint=options.out.with_suffix(".pt"),
        after_epoch=lambda row: print({k: v for k, v in row.items() if k != "gradient_norm"}, flush=True),
    )
    reached = evaluate(model, task, split="test")
    spectra = xr.concat([before, driven_spectrum(model, task)], xr.Variable("stage", ["initial", "trained"]))
    result = result.assign(lyapunov_exponent=spectra.lyapunov_exponent, standard_error=spectra.standard_error)
    result.attrs.update(
        test_accuracy=reached["metric"],
        test_loss=reached["loss"],
        units=options.units,
        initialisation=options.init,
        dataset=f"{options.dataset}, permuted",
        command="python " + shlex.join(["tutorials/runs/psmnist.py", *sys.argv[1:]]),
    )
    dynet.save(result, options.out)
    print(f"test accuracy {100 * reached['metric']:.2f} % after {options.epochs} epochs")


if __name__ == "__main__":
    main()
