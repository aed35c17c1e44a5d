"""Programs that measure the harness; machines differ, so no test asserts what they print."""
