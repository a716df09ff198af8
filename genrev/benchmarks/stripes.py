"""Bars and stripes: a law small enough to be known, and hard enough that a plain chain does not find all of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genrev.checks import whole


def bars_and_stripes(side: int = 4) -> Tensor:
    """Return the patterns of whole rows and of whole columns, ``(2 * 2 ** side, side * side)``.

    All off and all on stand twice: they are made of rows and of columns.

    Args:
        side: of the square, in pixels.

    Reference:
        MacKay, 2003, "Information theory, inference, and learning algorithms", chapter 43.

    Example:
        >>> bars_and_stripes(2).shape
        torch.Size([8, 4])
    """
    side = whole("side", side)
    lines = torch.tensor([[(number >> place) & 1 for place in range(side)] for number in range(1 << side)]).float()
    rows = lines[:, :, None].expand(-1, side, side)
    return torch.cat([rows, rows.transpose(1, 2)]).flatten(1)


def best_log_likelihood(side: int = 4) -> float:
    """Return the mean log-likelihood of those patterns by their own law, in nats: the most that any model reaches.

    Args:
        side: of the square, in pixels.

    Example:
        >>> round(best_log_likelihood(4), 4)
        -3.3791
    """
    count = 2 << whole("side", side)
    twice = 4 / count
    return twice * math.log(2 / count) + (1 - twice) * math.log(1 / count)
