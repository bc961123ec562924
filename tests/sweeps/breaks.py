"""A controller that breaks its run as its config says: what the launchers' tests sweep over."""

import os
import signal
import sys

from rlhf.kl.controller import Fixed


class Breaks(Fixed):
    def __init__(self, coef, how="fine"):
        super().__init__(coef)
        self.how = how

    def update(self, *arguments, **named):
        if self.how == "raise":
            raise ValueError("a bad day")
        if self.how == "leave":
            sys.exit(0)
        if self.how == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().update(*arguments, **named)
