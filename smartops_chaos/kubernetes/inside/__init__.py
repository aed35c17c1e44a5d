"""Programs that run inside a container under attack."""
