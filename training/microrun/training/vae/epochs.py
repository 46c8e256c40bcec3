"""Which pattern is trained on when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Epochs:
    """The same number of patterns from every scan in each epoch, however many a scan has.

    Every scan is dealt like a deck of cards: shuffled, dealt to the last card, shuffled again. An epoch takes
    from each deck as many as the scans have on average. So scans of equal size are trained on once an epoch; a
    small scan comes several times, a large one in parts, and no pattern is drawn again before all others of
    its scan were.

    Parameters
    ----------
    scans
        Numbers of the patterns of each scan.
    seed
        Of the order, which is a function of it and the epoch.
    """

    def __init__(self, scans: Sequence[NDArray[np.int64]], seed: int) -> None:
        self._scans, self._seed = scans, seed
        self._share = max(1, sum(map(len, scans)) // len(scans))
        self._last: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        """Patterns of one epoch."""
        return self._share * len(self._scans)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Numbers of the patterns of an epoch, in order."""
        if self._last[0] != epoch:
            dealt = [self._deal(number, epoch) for number in range(len(self._scans))]
            rng = np.random.default_rng((self._seed, 0, epoch))
            self._last = (epoch, rng.permutation(np.concatenate(dealt)))
        return self._last[1]

    def _deal(self, number: int, epoch: int) -> NDArray[np.int64]:
        cards = self._scans[number]
        first, stop = epoch * self._share, (epoch + 1) * self._share
        decks = range(first // len(cards), -(-stop // len(cards)))
        shuffled = [np.random.default_rng((self._seed, 1 + number, deck)).permutation(cards) for deck in decks]
        start = decks.start * len(cards)
        return np.concatenate(shuffled)[first - start : stop - start]
