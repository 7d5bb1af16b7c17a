"""The meter: how long the pictures of a job took, how many tokens, and how much money at your prices.

Must not know: how a stream is read, prices of any service.
"""

from .job import Meter as Meter
from .tokens import Prices as Prices

__all__ = ["Meter", "Prices"]
