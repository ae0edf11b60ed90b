"""The 1-NN classifier: what share of real samples is nearest to a labelled sample of another label?

Fed with samples of a conditional generator and tested on real data it says how well the samples stand in for data
(Radford et al. 2015, appendix): off the data, of the wrong label, or too much alike, they raise the error.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mulligan.metrics.distances import chunks


def one_nn_error(samples: Tensor, labels: Tensor, x: Tensor, y: Tensor, pairs: int | None = None) -> float:
    """The share of rows of x whose nearest row of samples has another label; every distance is computed.

    Args:
        samples: (M, d), what the classifier knows.
        labels: (M,) of them.
        x: (N, d), what it is tested on.
        y: (N,), the truth.
        pairs: distances to hold at a time.
    """
    found = torch.cat([labels[distance.argmin(1)] for _, distance in chunks(x, samples, pairs)])
    return float((found != y).double().mean())
