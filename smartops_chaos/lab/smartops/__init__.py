"""What runs on the node: the ERP under load and the healer (detect, diagnose, decide, act, verify)."""
