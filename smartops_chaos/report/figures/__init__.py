"""Drawings, one module for each family of figures: numbers in, SVG out."""
