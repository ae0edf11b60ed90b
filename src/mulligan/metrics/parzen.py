"""Parzen-window log-likelihood, by the protocol of Goodfellow et al. 2014 (https://arxiv.org/abs/1406.2661),
section 5.

A Gaussian kernel on each of 10,000 samples; its width chosen on validation images out of ten; the mean over
the test images with its standard error. Pixels in [0, 1]. It favours blur and copies: of interest only
beside the paper's table.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

SIGMAS = tuple(float(s) for s in torch.logspace(-1, 0, 10))
VALIDATION = 1000  # images that choose sigma, at most
ROWS = 500  # images at a time: 20 MB of distances to 10,000 centres


class Parzen(NamedTuple):
    """Mean log-likelihood in nats, its standard error over the test images, and the width chosen."""

    mean: float
    error: float
    sigma: float


def parzen(samples: Tensor, validation: Tensor, test: Tensor, sigmas: tuple[float, ...] = SIGMAS) -> Parzen:
    """Log-likelihood of test (T, D) under kernels on samples (N, D), the width chosen on validation (V, D).

    All in [0, 1]; the paper: N = 10,000, T = 10,000. The first VALIDATION rows of validation are used.
    """
    validation = validation[:VALIDATION]
    tries = [float(log_likelihood(validation, samples, sigma).mean()) for sigma in sigmas]
    sigma = sigmas[max(range(len(sigmas)), key=tries.__getitem__)]
    values = log_likelihood(test, samples, sigma)
    return Parzen(float(values.mean()), float(values.std()) / len(values) ** 0.5, sigma)


def log_likelihood(x: Tensor, centres: Tensor, sigma: float, rows: int = ROWS) -> Tensor:
    """log of the mean over centres (N, D) of N(x; centre, sigma² I), for each x (T, D); float64 (T,)."""
    centre = centres.mean(0)  # float32 products of centred images keep the distances exact to 1e-5
    x, centres = x - centre, centres - centre
    n, d = centres.shape
    norm = math.log(n) + d * math.log(sigma * math.sqrt(2 * math.pi))
    lengths = centres.square().sum(1)
    parts = []
    for part in torch.split(x, rows):
        squared = part.square().sum(1, keepdim=True) + lengths - 2 * (part @ centres.T)
        parts.append(torch.logsumexp(squared.double() / (-2 * sigma**2), dim=1) - norm)
    return torch.cat(parts)
