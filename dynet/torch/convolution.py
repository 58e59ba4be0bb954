"""A convolutional encoder: an image becomes a sequence of feature vectors."""

from __future__ import annotations

import torch
from torch import nn

from dynet._validate import Faults
from dynet.errors import InputError

__all__ = ["ImageEncoder"]


class ImageEncoder(nn.Module):
    """Four convolutions that turn an image, given as a sequence of pixels, into a shorter sequence of features.

    Each convolution (3 x 3, padding and stride 1) follows a batch normalisation and a ReLU; the largest of 2 x 2
    regions is kept after the second and after the fourth.

    Parameters
    ----------
    height, width : int
        Size of the image; both at least 4.
    n_channels : int, default 1
        Colours.
    features : tuple of int, default (32, 64, 128, 256)
        Channels of the four convolutions.

    Attributes
    ----------
    n_steps : int
        ``(height // 4) * (width // 4)``: steps of the sequence that comes out, row by row.
    n_features : int
        Its channels.

    Raises
    ------
    InputError
        If a size cannot be used, or inputs have another number of pixels.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567, section 5.2.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import ImageEncoder, SequenceModel
    >>> encoder = ImageEncoder(32, 32)
    >>> model = SequenceModel("gru", encoder.n_features, 16, 10, encoder=encoder)
    >>> encoder(torch.zeros(5, 1024, 1)).shape, model(torch.zeros(5, 1024, 1)).shape
    (torch.Size([5, 64, 256]), torch.Size([5, 10]))
    """

    def __init__(
        self, height: int, width: int, n_channels: int = 1, features: tuple[int, int, int, int] = (32, 64, 128, 256)
    ) -> None:
        faults = Faults()
        faults.integer("height", height, 4)
        faults.integer("width", width, 4)
        faults.integer("n_channels", n_channels, 1)
        if len(features) != 4:
            faults.add("features", features, "give four numbers of channels")
        faults.raise_if_any()
        super().__init__()
        self.height, self.width, self.n_channels = height, width, n_channels
        self.n_steps, self.n_features = (height // 4) * (width // 4), features[-1]
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(zip((n_channels, *features), features, strict=False), start=1):
            layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.Conv2d(before, after, kernel_size=3, padding=1)]
            if number % 2 == 0:
                layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features (sequence, step, feature) of pixels (sequence, height * width, colour)."""
        if pixels.ndim != 3 or pixels.shape[1:] != (self.height * self.width, self.n_channels):
            raise InputError(
                f"pixels has shape {tuple(pixels.shape)}: give (sequence, {self.height * self.width}, "
                f"{self.n_channels}), the rows of the image one after the other"
            )
        images = pixels.mT.unflatten(-1, (self.height, self.width))
        maps: torch.Tensor = self.layers(images)
        return maps.flatten(2).mT
