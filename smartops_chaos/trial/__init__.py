"""One trial: its experiment, the child that runs it, the workload, the evidence it leaves."""
