"""A wing: everything about a cluster. The core names it in `targets.kinds` and `telemetry.connection`, by name only.

cluster, collection, apistream   the client: one call, what is known of a collection, answers as they come
controller, objects, container   what is on a cluster: Deployments, fields of objects, programs in a container
cluster_target, lock, changes    the runner's side: namespaces taken, changed, and put back
cluster_lane, rollout            a trial's side
recorder, recording              what happens during a trial, written down and understood
drivers, driver_*, victims       faults
preflight, rbac, discover        before the first trial
"""
