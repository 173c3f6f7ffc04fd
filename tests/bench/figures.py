"""A figure: what was measured, against what, and the limit that it must keep."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """`value` is a ratio (unit "×"), or a difference or an amount in its own unit; limit None: shown, not judged.

    value None: not run, and `note` says why.
    ours, base: the medians behind it in `absolute` units. spread: the smallest and largest value of a single round,
    or of many the middle half.
    """

    name: str
    what: str
    against: str
    value: float | None
    spread: tuple[float, float] | None
    limit: float | None
    unit: str = "×"
    ours: float | None = None
    base: float | None = None
    absolute: str = "s"
    note: str = ""

    @property
    def kept(self) -> bool:
        return self.limit is None or self.value is None or self.value <= self.limit

    def row(self) -> dict[str, Any]:
        return {**asdict(self), "kept": self.kept}


def not_run(name: str, what: str, against: str, limit: float | None, why: str) -> Figure:
    return Figure(name, what, against, None, None, limit, note=why)


def ratio(
    name: str,
    what: str,
    against: str,
    ours: Sequence[float],
    base: Sequence[float],
    limit: float | None,
    by_round: bool = False,
    **more: Any,
) -> Figure:
    """Median over median; the spread is every value of ours over the base's median.

    by_round: for many short rounds, the median of each round's ratio; the spread is the middle half of these.
    """
    middle, below = statistics.median(ours), statistics.median(base)
    value, spread = middle / below, (min(ours) / below, max(ours) / below)
    if by_round:
        each = [mine / theirs for mine, theirs in zip(ours, base, strict=True)]
        low, value, high = statistics.quantiles(each, n=4)
        spread = (low, high)
    return Figure(name, what, against, value, spread, limit, ours=middle, base=below, **more)


def difference(
    name: str,
    what: str,
    against: str,
    ours: Sequence[float],
    base: Sequence[float],
    limit: float | None,
    **more: Any,
) -> Figure:
    """Median minus median, in seconds."""
    middle, below = statistics.median(ours), statistics.median(base)
    spread = (min(ours) - below, max(ours) - below)
    return Figure(name, what, against, middle - below, spread, limit, "s", middle, below, **more)


def amount(
    name: str, what: str, values: Sequence[float], limit: float | None, unit: str, **more: Any
) -> Figure:
    """A median by itself."""
    middle = statistics.median(values)
    return Figure(
        name, what, "", middle, (min(values), max(values)), limit, unit, ours=middle, absolute=unit, **more
    )
