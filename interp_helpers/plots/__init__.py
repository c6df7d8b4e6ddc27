"""Draw arrays and tables: no function here knows a method or runs a network; each returns a matplotlib figure.

>>> import matplotlib
>>> import numpy as np
>>> matplotlib.use("agg")
>>> figure = channels(np.eye(3)[:, :, None] * [1, 2], highlight=[1])
>>> [(axis.get_title(), axis.title.get_color()) for axis in figure.axes[:2]]
[('0', 'black'), ('1', '#d1495b')]
>>> [float(limit) for limit in figure.axes[0].images[0].get_clim()]  # one scale for all channels
[0.0, 2.0]
"""

from interp_helpers.plots.curves import channel_scatter, ranking
from interp_helpers.plots.diagrams.network import architecture, network_overview
from interp_helpers.plots.images import channels, image_grid, map_table, patches
from interp_helpers.plots.style import ACCENT, AMBER, INK, MUTED, PALE, WIDTH, quantize_palette, use_book_style
from interp_helpers.plots.tables import channel_heatmap, confusion_matrices

__all__ = [
    "ACCENT",
    "AMBER",
    "INK",
    "MUTED",
    "PALE",
    "WIDTH",
    "architecture",
    "channel_heatmap",
    "channel_scatter",
    "channels",
    "confusion_matrices",
    "image_grid",
    "map_table",
    "network_overview",
    "patches",
    "quantize_palette",
    "ranking",
    "use_book_style",
]
