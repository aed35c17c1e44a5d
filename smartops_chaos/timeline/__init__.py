"""Evidence -> Timeline -> Record: pure functions, so that every number can be computed again from what was stored."""
