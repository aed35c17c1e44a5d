"""Wing: everything about a cluster: its client, the target, what drivers need, who did what."""
