"""What several commands share: arguments and options with their help, and how a campaign or an arm is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartops_chaos.cli import completion
from smartops_chaos.errors import UsageError

if TYPE_CHECKING:
    from smartops_chaos.model import Arm
    from smartops_chaos.store.campaign_folder import CampaignFolder

MatrixArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MATRIX", callback=completion.matrix_in, help="The matrix file, or a folder with a matrix.yaml."
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="FACTOR=LEVEL,...",
        autocompletion=completion.levels,
        help="Only these, such as chaos=pod-kill or model=off,zscore; may be given for several factors.",
    ),
]
RepeatsOption = Annotated[
    int | None, typer.Option("--repeats", metavar="N", help="Repeats of each cell, instead of the matrix's.")
]
LanesOption = Annotated[int | None, typer.Option("--lanes", min=1, metavar="N", help="Lanes, instead of the matrix's.")]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of the campaigns.")]
ReportsOption = Annotated[Path, typer.Option("--reports", help="Folder of the reports.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.")]
CampaignArgument = Annotated[
    Path | None,
    typer.Argument(metavar="CAMPAIGN", autocompletion=completion.campaigns, help="The newest, unless said."),
]
RESULTS, REPORTS = Path("results"), Path("reports")


def campaign_path(path: Path, results: Path) -> Path:
    """A campaign, or a bare trials table, by its path, or by its name among the results.

    Raises UsageError for a table that is not there, and for a file that is none.
    """
    is_table = path.suffix.lower() in (".csv", ".parquet")
    if is_table and not path.exists():
        raise UsageError(f"there is no file {path}", "name a trials table, or a campaign in results/")
    if path.is_file() and not is_table:
        what = f"{path} is neither a campaign's folder nor a trials table"
        raise UsageError(what, "a table ends in .csv or .parquet; `smartops-chaos status` lists the campaigns here")
    return path if path.exists() or path.parent != Path() else results / path


def chosen(campaign: Path | None, results: Path) -> CampaignFolder:
    """The campaign that is named, else the newest. Raises UsageError, NothingSelected."""
    from smartops_chaos.store.campaign_folder import CampaignFolder, newest

    return CampaignFolder(newest(results) if campaign is None else campaign_path(campaign, results))


def duration_s(flag: str, text: str) -> float:
    """Seconds of a flag's duration such as 50m. Raises UsageError."""
    from smartops_chaos.schema import units

    try:
        return units.parse_duration(text)
    except units.UnitError as error:
        raise UsageError(f"{flag} {text}: {error}") from None


def arm_of(text: str) -> Arm:
    """The arm of `--baseline model=off,policy=default`. Raises UsageError."""
    from smartops_chaos.model import Arm  # its many classes take a fifth of the time in which `--help` is there

    parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if set(parts) != {"model", "policy"}:
        raise UsageError(f"--baseline {text} is no arm", "write model=off,policy=default")
    return Arm(**parts)
