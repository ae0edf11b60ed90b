"""Memorisation: are the samples nearer to the training data than unseen real data is?"""

from __future__ import annotations

import torch
from torch import Tensor

from mulligan.errors import Mistake
from mulligan.metrics.distances import nearest


def memorisation_ratio(fake: Tensor, train: Tensor, held_out: Tensor, pairs: int | None = None) -> float:
    """Median distance of samples to their nearest training sample, over that of held-out reals.

    About 1: as far from the training data as new real data. Well below 1: copies. Above 1: samples off the
    data.

    Args:
        fake: features (M, d) of samples.
        train: features (N, d) of training data.
        held_out: features (K, d) of real data that took no part in training.
        pairs: distances to hold at a time.

    Raises:
        ValueError: the held-out data are copies of training data.
    """
    usual = float(torch.median(nearest(held_out, train, pairs)))
    if usual == 0:
        raise Mistake(
            "half of the held-out data are copies of training data; remove the duplicates to measure memorisation"
        )
    return float(torch.median(nearest(fake, train, pairs))) / usual
