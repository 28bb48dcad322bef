"""The curves of a run as figures. Plain rows in, a matplotlib figure out; no torch.

palette   colours and style of every figure
marks     lines, legends and panels that the figures share
losses    loss and learning rate of a run; several runs over each other
norms     gradient norms, of all parameters and layer by layer
speed     tokens a second and utilisation
files     figures to PNG, PDF or SVG
pictures  a figure in few colours, for a notebook with many
"""

from gptlib.plots.files import save, save_all
from gptlib.plots.losses import compare, learning_rate, loss_curves
from gptlib.plots.norms import gradient_norms, layer_heat_map
from gptlib.plots.palette import PALETTE, REFERENCE, STYLE, TRAINING, VALIDATION, style
from gptlib.plots.pictures import Picture
from gptlib.plots.speed import throughput

__all__ = [
    "PALETTE",
    "REFERENCE",
    "STYLE",
    "TRAINING",
    "VALIDATION",
    "Picture",
    "compare",
    "gradient_norms",
    "layer_heat_map",
    "learning_rate",
    "loss_curves",
    "save",
    "save_all",
    "style",
    "throughput",
]
