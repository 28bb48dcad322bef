"""Number formats: matrix products in a short format, parameters and their updates in float32.

Source: Micikevicius et al. 2018, sections 3.1 (float32 parameters) and 3.2 (loss scaling).
"""

from contextlib import AbstractContextManager

import torch
from torch import nn

from gptlib.environment import choose_dtype
from gptlib.errors import ConfigError, TrainingDiverged
from gptlib.training.clipping import gradient_norm

FIRST_SCALE = 2.0**16
GROWS_AFTER = 2_000  # steps without overflow


class Precision:
    """The format of one run's matrix products.

    float16 ends at 6e-8, above many gradients: the loss is multiplied by a scale before the
    backward pass, and the gradients are divided by it after. A scale that is too large makes
    them infinite; then the step is skipped and the scale halved. float32 and bfloat16 reach
    down to 1e-38: their scale stays 1.

    Args:
        wanted: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        device: where the model computes.

    Raises:
        ConfigError: the GPU would only emulate bfloat16, slower than float32.
    """

    def __init__(self, wanted: str, device: torch.device) -> None:
        best = choose_dtype(device)
        self.dtype = best if wanted == "auto" else getattr(torch, wanted)
        if self.dtype is torch.bfloat16 and device.type == "cuda" and best is torch.float16:
            raise ConfigError(
                f"{torch.cuda.get_device_name()} does not compute bfloat16, it emulates it: "
                f"use precision auto or float16"
            )
        self.device_type = device.type
        why = "asked for" if wanted != "auto" else f"the best format of this {device.type} device"
        self.reason = f"{str(self.dtype).removeprefix('torch.')}, {why}"
        self.scaled = self.dtype is torch.float16
        self.scale = FIRST_SCALE if self.scaled else 1.0
        self.good_steps = 0  # since the scale last changed

    def autocast(self) -> AbstractContextManager[None]:
        """Within it, matrix products are computed in the short format."""
        return torch.autocast(self.device_type, self.dtype, enabled=self.dtype is not torch.float32)

    def unscale(self, model: nn.Module) -> None:
        """Divide the gradients by the scale that the loss was multiplied with."""
        if self.scaled:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad /= self.scale

    def overflowed(self, model: nn.Module) -> bool:
        """Whether this step is to be skipped, since float16 could not hold it; adapts the scale.

        Raises:
            TrainingDiverged: even without a scale the gradient is not finite.
        """
        if not self.scaled:
            return False
        if gradient_norm(model).isfinite():
            self.good_steps += 1
            if self.good_steps == GROWS_AFTER:
                self.scale, self.good_steps = self.scale * 2, 0
            return False
        self.scale, self.good_steps = self.scale / 2, 0
        if self.scale < 1:
            raise TrainingDiverged(
                "the gradient overflows float16 whatever the loss scale: lower the learning rate, "
                "or use precision float32"
            )
        return True

    def state(self) -> dict[str, float]:
        """What a resumed run needs."""
        return {"scale": self.scale, "good_steps": self.good_steps}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from :meth:`state`; a run that comes from another format begins its own scale."""
        if self.scaled and state["scale"] > 1:
            self.scale, self.good_steps = state["scale"], int(state["good_steps"])
