"""The look of all figures, and what the drawing functions share.

>>> use_book_style()
>>> mpl.rcParams["image.cmap"]
'viridis'
"""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

INK, ACCENT, AMBER, MUTED, PALE = "#31688e", "#d1495b", "#e8a33d", "#6f6f6f", "#b9c6d2"
WIDTH = 8  # inches: wider figures become unreadable on a page or a phone


def use_book_style():
    """Set the look of all figures: opaque background (for dark pages), fonts for a projector, viridis for values."""
    mpl.rcParams.update(
        {
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "savefig.bbox": "tight",
            "figure.constrained_layout.use": True,
            "font.size": 14,
            "axes.titlesize": 14,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "image.cmap": "viridis",
            "image.interpolation": "nearest",
            "axes.prop_cycle": mpl.cycler(color=[INK, ACCENT, "#35b779", AMBER, "#6a4c93"]),
        }
    )


def quantize_palette(picture, n=40):
    """Reduce a drawn figure (a PIL.Image.Image) to a palette of the book's colours, which makes its file small.

    The palette has n steps of viridis; greys and the two line colours take 52 more.
    """
    ramp = np.linspace(0, 1, 10)[:, None]
    tints = [1 - ramp * (1 - np.array(mpl.colors.to_rgb(colour))) for colour in (INK, ACCENT)]
    colours = [mpl.colormaps["viridis"](np.linspace(0, 1, n))[:, :3], np.linspace(0, 1, 32)[:, None].repeat(3, axis=1)]
    palette = Image.new("P", (1, 1))
    palette.putpalette((np.concatenate(colours + tints) * 255).round().astype(np.uint8).ravel().tolist())
    return picture.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)


def _grid(n, n_columns, row_height, margin=0, width=WIDTH, frames=True, **shared):
    """Return a figure and a grid of axes for n panels; those left over in the last row are hidden.

    `row_height`, `margin` (below or above all rows) and `width` are inches; without `frames` no panel has axes.
    """
    n_rows = -(-n // n_columns)
    extent = (width, row_height * n_rows + margin)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=extent, squeeze=False, **shared)
    for axis in axes.flat[n if frames else 0 :]:
        axis.axis("off")
    return figure, axes


def _number_style(channel, highlight):
    """Return how the number of a channel is written: bold and in the accent colour if it is highlighted."""
    return {"color": ACCENT, "fontweight": "bold"} if channel in highlight else {"color": "black"}
