"""A conditional variational autoencoder with a calibrated decoder variance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genrev.models.convolutional import ConvEncoder, UpConvDecoder


class ConditionalVAE(nn.Module):
    """p(x given c) = integral of p(x given z, c) p(z), with Gaussian laws from dense or convolutional networks.

    The variance of x given z and c is learned, which weighs reconstruction against the latent's cost without a knob,
    and keeps the latent from being ignored on small images.

    Args:
        size: number of values in x.
        condition: number of values in c.
        latent: number of values in z.
        hidden: width of the dense hidden layers.
        image: channels, height and width, where x is an image that convolutions are to work on.

    Reference:
        Sohn, Lee and Yan, 2015, "Learning structured output representation using deep conditional generative models";
        Rybkin, Daniilidis and Levine, 2021, "Simple and effective VAE training with calibrated decoders".

    Example:
        >>> model = ConditionalVAE(size=4, condition=2, latent=3)
        >>> model.loss(torch.randn(5, 4), torch.randn(5, 2)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        size: int,
        condition: int,
        *,
        latent: int = 16,
        hidden: int = 256,
        image: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.encoder: nn.Module
        self.decoder: nn.Module
        if image is None:
            self.encoder = _network(size + condition, hidden, 2 * latent)
            self.decoder = _network(latent + condition, hidden, size)
        else:
            self.encoder = ConvEncoder(image, condition, hidden, 2 * latent)
            self.decoder = UpConvDecoder(latent + condition, hidden, image)
        self.log_variance = nn.Parameter(torch.zeros(1))

    def posterior(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation of z given x and c, each ``(batch, latent)``.

        Args:
            x: ``(batch, size)``, of unit scale.
            condition: ``(batch, condition)``.
        """
        mean, log_scale = self.encoder(torch.cat([x, condition], 1)).chunk(2, 1)
        return mean, log_scale

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """Return the mean of x given z and c, ``(batch, size)``.

        Args:
            z: ``(batch, latent)``.
            condition: ``(batch, condition)``.
        """
        return self.decoder(torch.cat([z, condition], 1))

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return the negative evidence lower bound in nats, up to a constant, ``(batch,)``.

        Args:
            x: ``(batch, size)``, of unit scale.
            condition: ``(batch, condition)``.
        """
        mean, log_scale = self.posterior(x, condition)
        z = mean + log_scale.exp() * torch.randn_like(mean)
        cost = ((mean.square() + torch.exp(2 * log_scale) - 1) / 2 - log_scale).sum(1)
        return cost + calibrated(x - self.decode(z, condition), self.log_variance)


def calibrated(away: Tensor, log_variance: Tensor, *, floor: float = 0.05) -> Tensor:
    """Return the negative log-likelihood in nats, up to a constant, of Gaussian deviations of learned variance.

    Args:
        away: ``(batch, n)``: deviations from the mean.
        log_variance: ``(1,)``, learned.
        floor: least standard deviation: below it a closer fit earns nothing.

    Returns:
        ``(batch,)``.
    """
    log_variance = log_variance.clamp(min=2 * math.log(floor))
    return (away.square() * torch.exp(-log_variance) + log_variance).sum(1) / 2


def _network(fan_in: int, hidden: int, fan_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(fan_in, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, fan_out),
    )
