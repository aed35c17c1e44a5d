"""The means of injection: plain functions that experiments name, one module a driver.

Every fault has an ID made before injection, an expiry that the target enforces by itself, a probe that measures its
effect, and a revert that needs only the ID and is idempotent.
"""
