"""Helpers of the executable book *Interpretability of convolutional networks*.

One module for each idea, named after it: import what you need from its module, for example
``from interp_helpers.data import load_digits``.
"""

__version__ = "0.1.0"
