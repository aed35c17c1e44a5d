"""Whether a campaign is what its run has left: nothing missing, changed or added, the plan first, the records true.

A campaign without hash lists (an earlier version made it, or it is simulated) is told apart: of it only that its
records follow from its evidence can be said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from smartops_chaos.errors import ChaosError
from smartops_chaos.model import Outcome, Plan, Record, Trial
from smartops_chaos.plan.expand import as_before, digest
from smartops_chaos.plan.look_schedule import before_end, spared
from smartops_chaos.plan.select import select
from smartops_chaos.run.interim_looks import decide
from smartops_chaos.run.status import all_chosen
from smartops_chaos.schema import healerfile
from smartops_chaos.store import hash_list, registration
from smartops_chaos.store.campaign_folder import SHARD, SIMULATED, CampaignFile, CampaignFolder
from smartops_chaos.store.hash_list import HashList
from smartops_chaos.store.jsonfiles import adapter
from smartops_chaos.timeline import derive as timeline

VERIFIED, BROKEN, UNFINISHED, UNLISTED = "verified", "broken", "unfinished", "no hash list"
_NO_RESULT = (None, Outcome.ERROR, Outcome.INVALID)
_ATTEMPT = "~"  # before the number of an attempt that was set aside


@dataclass(frozen=True, slots=True)
class Verification:
    campaign: str
    listed: bool
    registered: str  # when; empty if it was not
    trials: int  # recorded
    derived: int  # records that follow from their evidence
    problems: tuple[str, ...]
    shard: str = ""  # such as 1/3: a part of a campaign, of which alone nothing follows
    left: str = ""  # the planned trials that have not run; of one that has run and is gone, a hash list tells

    @property
    def state(self) -> str:
        if self.problems:
            return BROKEN
        if self.left:
            return UNFINISHED
        return VERIFIED if self.listed else UNLISTED


def verify(store: CampaignFolder) -> Verification:
    """Read everything and write nothing. Raises UsageError if the folder is no campaign."""
    file = store.read()
    problems: list[str] = []
    listed: HashList | None = None
    try:
        listed = hash_list.read_list(store.path)
    except ChaosError as error:
        problems.append(str(error))
    trial_lists = _trial_lists(store, problems)
    sealed = listed is not None or bool(trial_lists)
    if sealed:
        problems += _files(store, listed, trial_lists)
    problems += _plan(file)
    recorded, derived, found = _records(store, file, sealed)
    problems += found
    left = ""
    try:
        problems += _looks(store, file)
        left = _left(store, file, set(recorded))
        if left and all_chosen(store.last_event()) >= len(_planned(file)):
            problems.append(f"{left}, though its last run had all of them")
            left = ""
    except ChaosError as error:
        problems.append(str(error))
    problems += _alien(store, file)
    problems += _of_others(file, recorded)
    registered = ""
    try:
        if one := registration.read_registration(store):
            registered = one.registered
            problems += _registered_first(store, file, one, trial_lists, recorded) + _chosen(store)
        elif any(found.registration for found in trial_lists.values()):
            problems.append("the trials name a registration, and register.json is missing")
    except ChaosError as error:
        problems.append(str(error))
    shard = file.provenance.get(SHARD, "")
    return Verification(store.name, sealed, registered, len(recorded), derived, tuple(problems), shard, left)


def _trial_lists(store: CampaignFolder, problems: list[str]) -> dict[str, HashList]:
    found: dict[str, HashList] = {}
    for folder in hash_list.trial_folders(store):
        try:
            if (one := hash_list.read_list(folder)) is not None:
                found[folder.name] = one
        except ChaosError as error:
            problems.append(str(error))
    return found


def _files(store: CampaignFolder, listed: HashList | None, trial_lists: dict[str, HashList]) -> list[str]:
    problems = []
    if listed is None:
        problems.append(f"{hash_list.HASHES} is missing: the last run was cut off, or somebody has removed it")
    else:
        problems += _told("", hash_list.differences(store.path, listed, of_campaign=True))
    for folder in hash_list.trial_folders(store):
        where = f"trials/{folder.name}"
        if folder.name not in trial_lists:
            problems.append(f"{where} has no {hash_list.HASHES}: it was added, or cut off")
            continue
        problems += _told(f"{where}/", hash_list.differences(folder, trial_lists[folder.name], of_campaign=False))
        if listed is not None and f"{where}/{hash_list.HASHES}" not in listed.files:
            problems.append(f"{where} is not in the campaign's list: it was added")
    return problems


def _told(where: str, found: hash_list.HashDifferences) -> list[str]:
    return [
        *(f"{where}{name} is missing" for name in found.missing),
        *(f"{where}{name} was changed" for name in found.changed),
        *(f"{where}{name} was added" for name in found.added),
    ]


def _plan(file: CampaignFile) -> list[str]:
    plan = file.plan
    if plan.digest not in (digest(plan), as_before(plan).digest):
        return ["campaign.json: the plan is not that of its digest: it was changed"]
    return []


def _left(store: CampaignFolder, file: CampaignFile, recorded: set[str]) -> str:
    """The planned trials without a record, but for those that a look has spared; "" if there are none."""
    trials = _planned(file)
    left_out = spared(file.plan, store.stops())
    missing = [trial.id for trial in trials if trial.id not in recorded and trial.id not in left_out]
    if not missing:
        return ""
    shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return f"{len(missing)} of {len(trials)} planned trials have no record: {shown}"


def _looks(store: CampaignFolder, file: CampaignFile) -> list[str]:
    """Arms that a look has stopped, and its trials do not: the trials after it were spared without a reason."""
    problems = []
    for number, stops in enumerate(store.looks(), 1):
        known = decide(store, number, again=True) if number <= len(before_end(file.plan)) else ()
        unfounded = [one.arm for one in stops if one not in known]
        problems += [f"look-{number}.json stops {arm}, which its trials do not" for arm in unfounded]
    return problems


def _planned(file: CampaignFile) -> tuple[Trial, ...]:
    return select(file.plan, (), file.provenance.get(SHARD, ""))


def _alien(store: CampaignFolder, file: CampaignFile) -> list[str]:
    """What a run never leaves beside its trials: what no plan has, and what is elsewhere."""
    planned = {trial.id for trial in file.plan.trials}
    problems = []
    for one in sorted((store.path / "trials").glob("*")):
        if one.is_symlink() or not one.is_dir():
            problems.append(f"trials/{one.name} is no folder of a trial: a link, or a file that was added")
        elif one.name.partition(_ATTEMPT)[0] not in planned:
            problems.append(f"trials/{one.name} is in no plan")
    return problems


def _chosen(store: CampaignFolder) -> list[str]:
    """Results that were set aside for others. `--retry` may do that, but not with what was registered."""
    problems = []
    for folder in hash_list.trial_folders(store):
        if _ATTEMPT in folder.name and (outcome := store.outcome(folder.name)) not in _NO_RESULT:
            had = f"trials/{folder.name} had a result, {outcome}"
            problems.append(f"{had}, and was run again: what is registered counts")
    return problems


def _of_others(file: CampaignFile, records: dict[str, Record]) -> list[str]:
    """Trials that another campaign has run: they name it, or began before this one did."""
    named = Counter(str(one.row.get("campaign")) for one in records.values())
    ours = max(named, key=lambda name: named[name], default="")
    began = _moment(file.provenance.get("started", ""))
    problems = []
    for trial, one in sorted(records.items()):
        at = _moment(str(one.row.get("started_at") or ""))
        if (name := one.row.get("campaign")) != ours:
            problems.append(f"trials/{trial} is of another campaign, {name}")
        elif at is not None and began is not None and at < began:
            problems.append(f"trials/{trial} began before this campaign did: it is of another one")
    return problems


def _records(store: CampaignFolder, file: CampaignFile, sealed: bool) -> tuple[dict[str, Record], int, list[str]]:
    """The records by trial, how many follow from their evidence, and what does not.

    What is simulated has no evidence, and no hash lists.
    """
    plan: Plan = file.plan
    healer = healerfile.restore(plan.healer)
    records: dict[str, Record] = {}
    derived, problems = 0, list[str]()
    for trial in plan.trials:
        folder = store.trial(trial.id)
        try:
            record = folder.read_record()
            if record is None:
                continue
            records[trial.id] = record
            if not folder.has_evidence():
                if sealed or SIMULATED not in file.provenance:
                    problems.append(f"trials/{trial.id} has a record and no evidence")
                continue
            anew = timeline.derive(folder.read_evidence(), healer, store.name, plan.chaos[trial.chaos])
        except ChaosError as error:
            problems.append(str(error))
            continue
        stored, again = (adapter(Record).dump_python(one, mode="json") for one in (record, anew))
        again["row"]["campaign"] = stored["row"].get("campaign")  # its folder may have another name by now
        if stored == again:
            derived += 1
        else:
            columns = [name for name, value in again["row"].items() if stored["row"].get(name) != value]
            what = ", ".join(columns[:3]) or "its timeline"
            problems.append(f"trials/{trial.id}/record.json does not follow from its evidence: {what}")
    return records, derived, problems


def _registered_first(
    store: CampaignFolder,
    file: CampaignFile,
    found: registration.Registration,
    trial_lists: dict[str, HashList],
    records: dict[str, Record],
) -> list[str]:
    problems = []
    if found != registration.of_plan(file.plan, file.matrix_text, found.registered):
        problems.append("register.json is not about the plan in campaign.json")
    ours = registration.digest(store)
    late = sorted(name for name, one in trial_lists.items() if one.registration != ours)
    if late:
        problems.append(f"the plan was registered after {len(late)} trials, or anew: {late[0]} does not name it")
    registered = _moment(found.registered)
    starts = {name: _moment(str(one.row.get("started_at") or "")) for name, one in records.items()}
    early = sorted(name for name, at in starts.items() if at is not None and registered is not None and at < registered)
    if registered is None:
        problems.append(f"register.json: {found.registered!r} is no date")
    if early:
        problems.append(f"{len(early)} trials began before the plan was registered: {early[0]}")
    return problems


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(microsecond=0)
    except ValueError:
        return None
