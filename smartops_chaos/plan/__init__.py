"""matrix.yaml -> Plan: schema and units, fault files, product and order, and what a budget can prove."""
