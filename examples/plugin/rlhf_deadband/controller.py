"""The controller."""

from rlhf.arguments import positive
from rlhf.kl.controller import Controller
from rlhf.kl.properties import ControllerProperties


class DeadBand(Controller):
    """beta stays while the KL is within `width` of the target (a share of it); above the band it is
    multiplied by `factor`, below it divided."""

    properties = ControllerProperties(name="deadband", follows_kl=True, multiplies=True)

    def __init__(self, coef: float, target: float, width: float, factor: float) -> None:
        super().__init__(coef)
        self.target, self.width = positive("target", target), positive("width", width)
        if factor <= 1:
            raise ValueError(f"factor must be above 1, got {factor}")
        self.factor = factor

    def update(self, sequence_nats: float, episodes: int, *, unit: str = "sequence") -> None:
        if sequence_nats > self.target * (1 + self.width):
            self.coef *= self.factor
        elif sequence_nats < self.target * (1 - self.width):
            self.coef /= self.factor
