"""Drawings of mechanisms, from real arrays: one module for each topic, and `parts`, what they share."""
