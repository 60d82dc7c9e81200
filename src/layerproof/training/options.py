"""What a training run may be told. Defaults are those of `learn train`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingOptions:
    """Times in days."""

    maturity_days: int = 14  # an undisputed event counts after so long
    alpha: float = 0.01  # asked false-positive rate: below it, untrusted
    trusted_above: float = 0.02  # p-value from which on an image may be called trusted
    negatives: int = 3  # context swaps for every real event
    trees: int = 64
    leaves: int = 8
    calibration_share: float = 0.2  # the last part of the time before `until`
    warm_up: float = 0.15  # share of the events that only make history, and are not learned from
    most_rows: int = 400_000  # of real and swapped rows together; the newest count
    window: int = 4_000  # matured scores that p-values are made from
