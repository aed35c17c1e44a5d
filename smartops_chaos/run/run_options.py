"""What a person asks of a run, beside the matrix and the folder of the results."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The flags of `smartops-chaos run`, made once and passed on whole."""

    only: tuple[str, ...] = ()  # such as "chaos=pod-kill"; see plan.select
    repeats: int | None = None  # instead of the matrix's
    shard: str = ""  # such as "1/3"
    campaign: str = ""  # its name; empty: the last unfinished one of the matrix, or a new one
    lanes: int | None = None  # instead of the matrix's
    max_time_s: float | None = None  # no new block begins after it
    retry: tuple[str, ...] = ()  # outcomes to run again
    scheduler: str = ""  # address of a Dask scheduler whose workers have the lanes
    register: bool = False  # write down plan and hypotheses before the first trial
