"""Helpers of the executable book *Interpretability of convolutional networks*.

data         images: digits, CIFAR-10, photographs, drawn streets
models       networks: architectures, trained ones that ship, ImageNet
engine       what every method stands on: look-up, hooks, gradients, statistics, checks
layers, attribution, metrics, feature_vis, probing, deconvnet, perturbation, reverse_channels, variation,
ace, pcace, compare, regression   the methods: one module for each chapter, named after its topic
keras_vis    the calls of keras-vis
plots        draws arrays
train, convert, notebook   what makes the networks and the pages
"""

__version__ = "0.1.0"
