"""A drawing of alternating conditional expectations (ACE): two curves that take turns.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> x = np.linspace(-1, 1, 20)
>>> figure = turn(x, x**2, phi=x**2, theta=x**2, moving="phi")
>>> figure.axes[0].get_title()
'bend x: correlation 1.00'
"""

import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.style import ACCENT, INK, MUTED, WIDTH


def turn(x, y, phi, theta, moving=None, names=("x", "y"), marked=None):
    """Draw where the two curves of ACE stand: each goes through points that the other one makes.

    Left, phi over x, through the points theta(y); right, theta over y, through the points phi(x). The correlation of
    both stands above the curve that has moved, or above the left one.

    Parameters
    ----------
    x, y, phi, theta : ndarray, shape (m,)
        phi may be all zeros, at the start.
    moving : "phi" or "theta", optional
        The curve that has been bent last, in the accent colour.
    names : (str, str)
        What x and y are.
    marked : int, optional
        A point to be drawn in the accent colour.
    """
    x, y, phi, theta = (np.asarray(v, float) for v in (x, y, phi, theta))
    both = np.ptp(phi) > 0 and np.ptp(theta) > 0
    said = f"correlation {np.corrcoef(phi, theta)[0, 1]:.2f}" if both else "phi is still flat"
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4))
    sides = (("phi", x, phi, theta, names[0]), ("theta", y, theta, phi, names[1]))
    for axis, (name, across, curve, points, what) in zip(axes, sides, strict=True):
        order = np.argsort(across)
        axis.plot(across, points, ".", color=MUTED, markersize=5, alpha=0.5)
        colour = ACCENT if moving == name else INK
        axis.plot(across[order], curve[order], color=colour, linewidth=3.5)
        if marked is not None:
            axis.plot(across[marked], points[marked], "o", color=ACCENT, markersize=9)
        axis.set(xlabel=what, ylim=(-3.3, 3.3))
        axis.set_title(rf"$\{name}({'x' if name == 'phi' else 'y'})$", fontsize=15, color=colour)
        axis.tick_params(labelsize=12)
    moved = axes[1] if moving == "theta" else axes[0]
    verb = {"phi": "bend x: ", "theta": "bend y: ", None: ""}[moving]
    moved.set_title(verb + said, fontsize=15, color=ACCENT if moving else INK)
    return figure
