"""Who is left out of a campaign to compare with, and what difference that could show."""

import hmac
from collections.abc import Collection
from math import sqrt
from statistics import NormalDist

import numpy as np

SHARE = 0.1
MAX_LIFT = 1.0  # of the base rate; who waits for more than a doubling waits in vain


def in_control(ids: Collection[str], secret: bytes, campaign: str, share: float) -> np.ndarray:
    """Whether each customer is in the control group, (n_customers,) of bool.

    By a hash of the id under a key of the campaign's own: nobody can tell without the store's
    secret, a repeated export leaves out the same people, and another campaign others.
    """
    if not share:
        return np.zeros(len(ids), dtype=bool)
    key = hmac.digest(secret, b"control\0" + campaign.encode(), "sha256")
    digests = b"".join(hmac.digest(key, one.encode(), "sha256")[:8] for one in ids)
    return np.frombuffer(digests, dtype=">u8") / 2.0**64 < share


def detectable_lift(
    n_contacted: int, n_control: int, base_rate: float, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """The smallest rise of a rate that a two-sided test of two proportions would see.

    The rate of those contacted at which the test reaches its power, less the base rate; solved
    from the sample size formula for unequal groups without continuity correction (Fleiss, Levin
    and Paik, Statistical Methods for Rates and Proportions, 3rd edition, 2003, chapter 4). None
    where even everybody's answer would not show.

    Parameters
    ----------
    n_contacted, n_control : int
        Customers contacted, and held back.
    base_rate : float
        Share of those held back who do it anyway, between 0 and 1.
    """
    from scipy.optimize import brentq

    if not (n_contacted and n_control):
        return None
    z_alpha, z_power = (NormalDist().inv_cdf(one) for one in (1 - alpha / 2, power))
    share = n_contacted / (n_contacted + n_control)

    def missing(rate: float) -> float:
        """By how much a rate falls short of what the test sees; it falls once below zero."""
        pooled = share * rate + (1 - share) * base_rate
        by_chance = sqrt(pooled * (1 - pooled) * (1 / n_contacted + 1 / n_control))
        spread = rate * (1 - rate) / n_contacted + base_rate * (1 - base_rate) / n_control
        return z_alpha * by_chance + z_power * sqrt(spread) - (rate - base_rate)

    return None if missing(1.0) > 0 else float(brentq(missing, base_rate, 1.0)) - base_rate


def is_too_small(lift: float | None, base_rate: float) -> bool:
    """Whether no sensible lift could be seen."""
    return lift is None or lift > MAX_LIFT * base_rate
