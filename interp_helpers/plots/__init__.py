"""Draw what the other modules compute: every function takes arrays or tables, and returns a figure or axes."""

from interp_helpers.plots.curves import (
    accuracy_curves,
    channel_scatter,
    correlation_intervals,
    layer_histograms,
    mean_dots,
    ranking,
    removal_curves,
    sorted_values,
    transforms,
)
from interp_helpers.plots.diagrams import architecture, network_overview
from interp_helpers.plots.images import (
    channel_report,
    channels,
    image_grid,
    map_table,
    patches,
    predictions,
    top_channels,
)
from interp_helpers.plots.style import ACCENT, AMBER, INK, MUTED, PALE, WIDTH, quantize_palette, use_book_style
from interp_helpers.plots.tables import channel_heatmap, confusion_heatmap, confusions, correlations, rank_table

__all__ = [
    "ACCENT",
    "AMBER",
    "INK",
    "MUTED",
    "PALE",
    "WIDTH",
    "accuracy_curves",
    "architecture",
    "channel_heatmap",
    "channel_report",
    "channel_scatter",
    "channels",
    "confusion_heatmap",
    "confusions",
    "correlation_intervals",
    "correlations",
    "image_grid",
    "layer_histograms",
    "map_table",
    "mean_dots",
    "network_overview",
    "patches",
    "predictions",
    "quantize_palette",
    "rank_table",
    "ranking",
    "removal_curves",
    "sorted_values",
    "top_channels",
    "transforms",
    "use_book_style",
]
