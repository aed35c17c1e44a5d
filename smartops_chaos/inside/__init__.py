"""Programs that run alone in a container of somebody else: they know nothing of this package, and little of Python."""
