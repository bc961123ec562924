"""One run's policy realigned: mixed with the SFT policy that it began from, by decoding or by
weights, and measured on held-out prompts."""

from typing import Literal

Way = Literal["decoding", "weights"]
WAYS: tuple[Way, ...] = ("decoding", "weights")
