"""The functions that experiments name, one module a driver. Stored campaigns play their rollbacks by these names.

Every fault has an ID made before injection, an expiry that the target enforces by itself, a probe that measures its
effect, and a revert that needs only the ID and is idempotent.
"""
