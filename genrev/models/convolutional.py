"""The convolutional halves of an autoencoder, for images of any size: from flat values to flat values."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_COARSEST = 8
"""The longest side of the smallest maps, in pixels."""

_SEEN, _DRAWN, _WIDEST = 16, 8, 64
"""The channels of the largest maps, of an encoder and of a decoder, doubled with each halving; and at most how many."""

# Which rows of a 3 x 3 kernel on a map of twice the size fall on the row before, this one and the next of the small
# map: for an even row, and for an odd one.
_EVEN = ((1.0, 0.0, 0.0), (0.0, 1.0, 1.0), (0.0, 0.0, 0.0))
_ODD = ((0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.0, 1.0))


class ConvEncoder(nn.Module):
    """From an image and what stands beside it to some values: convolutions that halve the size, then dense layers.

    Args:
        shape: of an image: channels, height, width.
        beside: number of values that stand beside the image.
        hidden: width of the dense hidden layer.
        outputs: number of values that come out.

    Example:
        >>> ConvEncoder((1, 9, 7), 2, 16, 6)(torch.zeros(5, 65)).shape
        torch.Size([5, 6])
    """

    def __init__(self, shape: tuple[int, int, int], beside: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.shape = shape
        sizes, channels = _pyramid(shape, _SEEN)
        maps: list[nn.Module] = []
        for before, after in itertools.pairwise(channels):
            maps += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()]
        self.maps = nn.Sequential(*maps, nn.Flatten())
        seen = channels[-1] * math.prod(sizes[-1])
        self.dense = nn.Sequential(nn.Linear(seen + beside, hidden), nn.SiLU(), nn.Linear(hidden, outputs))

    def forward(self, joined: Tensor) -> Tensor:
        """Return the values, ``(batch, outputs)``.

        Args:
            joined: ``(batch, size + beside)``: the image's values, then what stands beside them.
        """
        size = math.prod(self.shape)
        maps = self.maps(joined[:, :size].reshape(-1, *self.shape))
        return self.dense(torch.cat([maps, joined[:, size:]], 1))


class UpConvDecoder(nn.Sequential):
    """From some values to an image: dense layers, then convolutions each of which doubles the size.

    Args:
        inputs: number of values that go in.
        hidden: width of the dense hidden layer.
        shape: of an image: channels, height, width.

    Reference:
        Dosovitskiy and Brox, 2016, "Inverting visual representations with convolutional networks".

    Example:
        >>> UpConvDecoder(6, 16, (1, 9, 7))(torch.zeros(5, 6)).shape
        torch.Size([5, 63])
    """

    def __init__(self, inputs: int, hidden: int, shape: tuple[int, int, int]) -> None:
        sizes, channels = _pyramid(shape, _DRAWN)
        smallest = channels[-1], *sizes[-1]
        layers: list[nn.Module] = [
            nn.Linear(inputs, hidden),
            nn.SiLU(),
            nn.Linear(hidden, math.prod(smallest)),
            nn.Unflatten(1, smallest),
        ]
        for stage in reversed(range(len(sizes) - 1)):
            layers += [nn.SiLU(), UpConv2d(channels[stage + 1], channels[stage], sizes[stage])]
        super().__init__(*layers, nn.Flatten())


class UpConv2d(nn.Conv2d):
    """Upsampling to twice the size by nearest neighbours, then a 3 x 3 convolution.

    A strided transposed convolution covers neighbouring pixels unevenly and leaves a checkerboard; this does not. It is
    computed on the small map, with a kernel for each of the four places that a pixel of the large one can have in it:
    the same values, several times as fast.

    Args:
        channels: of the small map.
        out: channels of the large map.
        size: rows and columns of the large map: twice those of the small one, or one less.

    Reference:
        Odena, Dumoulin and Olah, 2016, "Deconvolution and checkerboard artifacts";
        Shi et al., 2016, "Is the deconvolution layer the same as a convolutional layer?"

    Example:
        >>> UpConv2d(4, 2, (5, 6))(torch.zeros(1, 4, 3, 3)).shape
        torch.Size([1, 2, 5, 6])
    """

    def __init__(self, channels: int, out: int, size: tuple[int, int]) -> None:
        super().__init__(channels, out, 3, padding=1)
        self.size = size
        self.register_buffer("fold", torch.tensor([_EVEN, _ODD]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the large map, ``(batch, out, *size)``.

        Args:
            x: ``(batch, channels, rows, columns)``.
        """
        assert self.bias is not None
        kernels = torch.einsum("aru,bsv,oiuv->oabirs", self.fold, self.fold, self.weight).flatten(0, 2)
        places = functional.conv2d(x, kernels, self.bias.repeat_interleave(4), padding=1)
        return functional.pixel_shuffle(places, 2)[:, :, : self.size[0], : self.size[1]]


def _pyramid(shape: tuple[int, int, int], finest: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the sizes and the channels of an image's maps, from the image itself to the smallest."""
    channels, height, width = shape
    sizes, longest = [(height, width)], 1
    # One halving wherever there is something to halve, and then until the maps are small.
    while max(sizes[-1]) > longest:
        rows, columns = sizes[-1]
        sizes.append((math.ceil(rows / 2), math.ceil(columns / 2)))
        longest = _COARSEST
    return sizes, [channels, *(min(finest * 2**stage, _WIDEST) for stage in range(len(sizes) - 1))]
