"""Wing: what a plan takes and what its result could prove; simulated campaigns whose truth is known."""
