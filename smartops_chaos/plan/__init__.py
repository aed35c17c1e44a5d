"""A matrix becomes a Plan: levels, product and order, checks across keys, durations, interim looks."""
