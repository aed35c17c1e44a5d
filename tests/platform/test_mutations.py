"""Whatever is changed in a Role, a network policy, a rule or a gate: a test of ours fails.

Each mutation is made by a program, not by hand, and put through the very tests that guard the real one.
"""

from __future__ import annotations

import copy
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.platform import test_hardening
from tests.platform.conftest import Object, Render
from tests.platform.promql import promtool, rule_files, rules, scraped, sources

Mutation = tuple[str, Any]  # what was done, and what came of it
_TESTS = Path(__file__).parent / "rules"


def passes(check: Callable[..., None], *arguments: Any) -> bool:
    try:
        check(*arguments)
    except (AssertionError, KeyError, ValueError):
        return False
    return True


def each(objects: list[Object], *kinds: str) -> Iterator[tuple[Object, list[Object]]]:
    """Each object of these kinds, in a copy of all of them that may be changed."""
    for i, one in enumerate(objects):
        if one["kind"] in kinds:
            changed = copy.deepcopy(objects)
            yield changed[i], changed


# ---- Roles ---------------------------------------------------------------------------------------------------------


def role_mutations(objects: list[Object]) -> Iterator[Mutation]:
    for one in objects:
        if one["kind"] not in ("Role", "RoleBinding"):
            continue
        name = f"{one['kind']} {one['metadata']['name']}"
        yield f"{name}: gone", [other for other in objects if other is not one]
    for role, changed in each(objects, "Role"):
        for i in range(len(role["rules"])):
            for what, change in RIGHTS_CHANGED.items():
                mutated = copy.deepcopy(changed)
                (same,) = [o for o in mutated if o["kind"] == "Role" and o["metadata"] == role["metadata"]]
                if change(same["rules"][i], same["rules"]) is not False:
                    yield f"Role {role['metadata']['name']}, rule {i}: {what}", mutated
    for binding, changed in each(objects, "RoleBinding"):
        binding["subjects"][0]["name"] = "default"
        yield f"RoleBinding {binding['metadata']['name']}: somebody else", changed


def _without_names(rule: Object, _: list[Object]) -> bool:
    return rule.pop("resourceNames", None) is not None


RIGHTS_CHANGED: dict[str, Callable[[Object, list[Object]], Any]] = {
    "a verb more": lambda rule, _: rule["verbs"].append("delete"),
    "a verb less": lambda rule, _: rule["verbs"].pop() and None,
    "a resource more": lambda rule, _: rule["resources"].append("secrets"),
    "every API group": lambda rule, _: rule.update(apiGroups=["*"]),
    "every name": _without_names,
    "another name": lambda rule, _: rule.update(resourceNames=["smartops-policy-engine"]),
    "gone": lambda rule, rules: rules.remove(rule),
}


@pytest.mark.parametrize("environment", ["prod", "telemetry", "testbed"])
def test_a_changed_role_is_noticed(render: Render, environment: str) -> None:
    objects = render(environment)
    mutations = list(role_mutations(objects))
    assert len(mutations) >= 10

    def guarded(changed: list[Object]) -> bool:
        return passes(test_hardening.test_accounts_have_exactly_these_rights, lambda *_: changed, environment)

    assert guarded(objects)
    assert [what for what, changed in mutations if guarded(changed)] == []


# ---- pods ------------------------------------------------------------------------------------------------------------


def _other(container: Object) -> Object:
    """A container that keeps no rule, where nobody looks at first."""
    return {"name": "more", "image": container["image"]}


PODS_CHANGED: dict[str, Callable[[Object], Any]] = {
    "as root": lambda pod: pod["containers"][0]["securityContext"].update(runAsUser=0),
    "as anybody": lambda pod: pod["containers"][0]["securityContext"].update(runAsNonRoot=False),
    "privileged": lambda pod: pod["containers"][0]["securityContext"].update(privileged=True),
    "more rights than its parent": lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "a capability": lambda pod: pod["containers"][0]["securityContext"]["capabilities"].update(add=["NET_RAW"]),
    "any system call": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "any system call in a container": lambda pod: pod["containers"][0]["securityContext"].update(
        seccompProfile={"type": "Unconfined"}
    ),
    "a system file that can be written": lambda pod: pod["containers"][0]["securityContext"].pop(
        "readOnlyRootFilesystem"
    ),
    "the node's network": lambda pod: pod.update(hostNetwork=True),
    "the node's processes": lambda pod: pod.update(hostPID=True),
    "the node's shared memory": lambda pod: pod.update(hostIPC=True),
    "a port of the node": lambda pod: pod["containers"][0].update(ports=[{"containerPort": 1, "hostPort": 1}]),
    "a container more": lambda pod: pod["containers"].append(_other(pod["containers"][0])),
    "a container before": lambda pod: pod.update(initContainers=[_other(pod["containers"][0])]),
    "no limit": lambda pod: pod["containers"][0]["resources"].pop("limits"),
    "no request": lambda pod: pod["containers"][0]["resources"].pop("requests"),
    "another token": lambda pod: pod.update(automountServiceAccountToken=not pod["automountServiceAccountToken"]),
    "a folder of the node": lambda pod: pod.setdefault("volumes", []).append({"name": "x", "hostPath": {"path": "/"}}),
    "a token by a volume": lambda pod: pod.setdefault("volumes", []).append(
        {"name": "x", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    ),
}


@pytest.mark.parametrize("environment", ["prod", "telemetry", "testbed"])
def test_a_changed_pod_is_noticed(render: Render, environment: str) -> None:
    objects = render(environment)
    checks = (
        test_hardening.test_pods_keep_the_rules_of_pod_security_restricted,
        test_hardening.test_root_file_systems_cannot_be_written,
        test_hardening.test_every_container_asks_for_what_it_needs_and_is_limited,
        test_hardening.test_a_pod_has_a_token_only_if_its_account_has_rights,
    )

    def guarded(changed: list[Object]) -> bool:
        return all(passes(check, lambda *_: changed, environment) for check in checks)

    assert guarded(objects)
    unseen = []
    for one, changed in each(objects, "Deployment", "DaemonSet", "Pod"):
        for what, change in PODS_CHANGED.items():
            mutated = copy.deepcopy(changed)
            (same,) = [o for o in mutated if (o["kind"], o["metadata"]) == (one["kind"], one["metadata"])]
            change(same["spec"] if one["kind"] == "Pod" else same["spec"]["template"]["spec"])
            if guarded(mutated):
                unseen.append(f"{one['kind']} {one['metadata']['name']}: {what}")
    assert unseen == []


def test_a_right_in_the_whole_cluster_is_noticed(render: Render) -> None:
    subjects = [{"kind": "ServiceAccount", "name": "smartops-orchestrator", "namespace": "smartops-prod"}]
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    for kind, role in (("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "ClusterRole")):
        metadata = {"name": "smartops-orchestrator"}
        bound = {"kind": kind, "metadata": metadata, "roleRef": {"kind": role, "name": "admin"}, "subjects": subjects}
        for more in ([bound], [bound, {"kind": role, "metadata": {"name": "admin"}, "rules": [everything]}]):
            changed = [*render("prod"), *more]
            check = test_hardening.test_accounts_have_exactly_these_rights
            assert not passes(check, lambda *_, changed=changed: changed, "prod"), kind


# ---- network policies ----------------------------------------------------------------------------------------------


def policy_mutations(objects: list[Object]) -> Iterator[Mutation]:
    for one in objects:
        if one["kind"] == "NetworkPolicy":
            yield f"{one['metadata']['name']}: gone", [other for other in objects if other is not one]
    for policy, changed in each(objects, "NetworkPolicy"):
        spec, name = policy["spec"], policy["metadata"]["name"]
        for way in ("ingress", "egress"):
            for i, rule in enumerate(spec.get(way, [])):
                for part in ("from", "to", "ports"):
                    if part in rule:
                        kept = rule.pop(part)
                        yield f"{name}, {way} {i}: any of {part}", copy.deepcopy(changed)
                        rule[part] = kept
                for port in rule.get("ports", []):
                    kept = port["port"]
                    port["port"] = 1
                    yield f"{name}, {way} {i}: another port", copy.deepcopy(changed)
                    port["port"] = kept
        if spec["podSelector"]:
            kept, spec["podSelector"] = spec["podSelector"], {}
            yield f"{name}: for every pod", copy.deepcopy(changed)
            spec["podSelector"] = kept
        if spec["policyTypes"] == ["Ingress", "Egress"]:
            for way in ("Ingress", "Egress"):
                spec["policyTypes"] = [way]
                yield f"{name}: {way} only", copy.deepcopy(changed)


def both_ends(objects: list[Object]) -> Iterator[Mutation]:
    """A pair is guarded at both ends, so what is too wide at one of them lets nothing through: here it is at both."""
    names = {one["metadata"]["name"] for one in objects if one["kind"] == "NetworkPolicy"}
    for pair in sorted(name.removesuffix("-out") for name in names if f"{name.removesuffix('-out')}-in" in names):
        changed = copy.deepcopy(objects)
        for one in changed:
            if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] in (f"{pair}-in", f"{pair}-out"):
                (rule,) = one["spec"].get("ingress") or one["spec"]["egress"]
                del rule["ports"]
        yield f"{pair}: any port at both ends", changed


# After these the same may call the same. Whatever else is changed has to be noticed.
_SAME = "|".join(
    (
        r"prod \w+-erp-in.*",  # everybody may call the ERP
        r".* default-deny: Ingress only",  # that every pod may ask for names keeps it from asking for more
        r"prod [\w-]+-(in|out), \w+ 0: any of ports",  # the other end still refuses: see both_ends
        r"prod (scraped|traces|tested|[\w-]+-(in|out)): for every pod",
        r"telemetry (scraped|traces|tested|tests)\b.*",  # that release has no service of SmartOps
    )
)


def test_a_changed_network_policy_is_noticed(render: Render) -> None:
    whole = {name: render(name) for name in ("prod", "telemetry")}
    mutations = [
        (f"{name} {what}", name, changed)
        for name, objects in whole.items()
        for what, changed in (*policy_mutations(objects), *both_ends(objects))
    ]
    assert len(mutations) >= 100

    def guarded(which: str, changed: list[Object]) -> bool:
        def rendered(environment: str, *_: str) -> list[Object]:
            return changed if environment == which else whole.get(environment, whole["prod"])

        return all(
            passes(check, rendered)
            for check in (
                test_hardening.test_exactly_these_may_call_each_other,
                test_hardening.test_every_pod_may_ask_for_names,
            )
        )

    assert all(guarded(name, objects) for name, objects in whole.items())
    unseen = [what for what, which, changed in mutations if guarded(which, changed)]
    unexplained = [what for what in unseen if not re.fullmatch(_SAME, what)]
    assert not unexplained, "\n".join(unexplained)


# ---- rules ---------------------------------------------------------------------------------------------------------


def rule_mutations(file: Path) -> Iterator[tuple[str, str, str]]:
    """Of each alert: what was done, its name, and the text of the changed file."""
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    for group in found["groups"]:
        for i, rule in enumerate(group["rules"]):
            if "alert" not in rule:
                continue
            name = f"{rule['alert']}{' ' + rule['labels']['blind'] if 'blind' in rule['labels'] else ''}"
            for what, changed in alert_mutations(rule):
                rules = [*group["rules"][:i], *([changed] if changed else []), *group["rules"][i + 1 :]]
                groups = [{**one, "rules": rules} if one is group else one for one in found["groups"]]
                yield f"{name}: {what}", rule["alert"], yaml.safe_dump({"groups": groups})


def alert_mutations(rule: Object) -> Iterator[tuple[str, Object | None]]:
    yield "gone", None
    yield (
        "another severity",
        {
            **rule,
            "labels": {**rule["labels"], "severity": "warning" if rule["labels"]["severity"] == "info" else "info"},
        },
    )
    yield "late", {**rule, "for": "30m"}
    if match := re.search(r"(>=|>|<) ?(\d+(\.\d+)?)", rule["expr"]):
        other = {">": "<", ">=": "<", "<": ">"}[match[1]]
        yield (
            "the other way round",
            {**rule, "expr": re.sub(rf"{match[1]} ?{match[2]}", f"{other} {match[2]}", rule["expr"])},
        )
        higher = str(10 * float(match[2]) + 5)
        yield "another limit", {**rule, "expr": rule["expr"].replace(match[0], f"{match[1]} {higher}")}


def _cases(alert: str, rules: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The cases of a file of rules that ask for an alert, the quickest first."""
    found = []
    for file in sorted(_TESTS.glob("*.yaml")):
        whole = yaml.safe_load(file.read_text(encoding="utf-8"))
        for case in whole["tests"] if [Path(one).name for one in whole["rule_files"]] == [rules.name] else ():
            if alert in str(case.get("alert_rule_test", "")) + str(case.get("promql_expr_test", "")):
                length = sum(int(n) for one in case["input_series"] for n in re.findall(r"x(\d+)", str(one["values"])))
                found.append((length, str(file), whole, case))
    for _, _, whole, case in sorted(found, key=lambda one: one[:2]):
        yield whole, case


def _noticed(alert: str, file: Path, rules: str, folder: Path) -> bool:
    """Whether a case of an alert fails with these rules in the place of the file's."""
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    for whole, case in _cases(alert, file):
        alone = {**whole, "rule_files": ["rules.yaml"], "tests": [case]}
        (folder / "test.yaml").write_text(yaml.safe_dump(alone), encoding="utf-8")
        done = subprocess.run([promtool(), "test", "rules", "test.yaml"], cwd=folder, capture_output=True)
        if done.returncode:
            return True
    return False


@pytest.mark.parametrize("file", rule_files(), ids=lambda file: file.stem)
def test_a_changed_alert_is_noticed(file: Path, tmp_path: Path) -> None:
    mutations = list(rule_mutations(file))
    assert len(mutations) >= 10
    unchanged = yaml.safe_dump(yaml.safe_load(file.read_text(encoding="utf-8")))
    for alert in {alert for _, alert, _ in mutations}:
        assert not _noticed(alert, file, unchanged, tmp_path), alert

    def tried(i: int) -> str:
        what, alert, rules = mutations[i]
        (tmp_path / str(i)).mkdir()
        return "" if _noticed(alert, file, rules, tmp_path / str(i)) else what

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        assert [what for what in pool.map(tried, range(len(mutations))) if what] == []


# ---- metrics -------------------------------------------------------------------------------------------------------

# They are there for a while only, so that their absence says nothing.
_NOW_AND_THEN = {
    "kube_pod_container_status_waiting_reason": "while a container waits; two restarts tell a crash loop too",
    "kube_pod_created": "two restarts that were read tell a crash loop too",
    "smartops_chaos_fault_active": "while a campaign runs, and it holds back only",
}
_TELLS = "SmartOpsNoData|SmartOpsMonitorGone|SmartOpsOrchestratorMetricsMissing"


def _family(name: str) -> str:
    return re.sub(r"_(bucket|count|sum)$", "", name)


def _read_by_alerts() -> list[str]:
    alerts = [rule for rule in rules() if rule.get("alert") not in (None, "SmartOpsNoData")]
    return sorted({_family(name) for rule in alerts for name in sources(rule["expr"])})


def _told_without(family: str, folder: Path) -> bool:
    """Whether an alert on missing data fires, where all else is on the pages and well."""
    series = [
        {"series": f"{name}{{{labels}}}", "values": f"{value}+{int(_grows(name))}x60"}
        for name, labels, value in scraped("smartops-dev")
        if _family(name) != family
    ]
    told = {"expr": f'count(ALERTS{{alertstate="firing", alertname=~"{_TELLS}"}}) > bool 0', "eval_time": "4m"}
    case = {"interval": "5s", "input_series": series, "promql_expr_test": [told | {"exp_samples": []}]}
    file = folder / f"without-{family or 'none'}.yaml"
    whole = {"rule_files": list(map(str, rule_files())), "evaluation_interval": "5s", "tests": [case]}
    file.write_text(yaml.safe_dump(whole), encoding="utf-8")
    done = subprocess.run([promtool(), "test", "rules", file], capture_output=True, text=True)
    assert "got" in done.stdout + done.stderr or done.returncode == 0, done.stdout + done.stderr
    return done.returncode != 0  # no sample was expected, and there was one


def _grows(name: str) -> bool:
    return name.endswith(("_total", "_bucket", "_count", "_sum")) and "restarts" not in name


def test_a_metric_that_is_renamed_is_noticed(tmp_path: Path) -> None:
    """By whoever gets alerts, not by a test alone: a new version of SmartOps may call it otherwise."""
    assert not _told_without("", tmp_path)
    read = _read_by_alerts()
    assert len(read) >= 8
    unseen = [family for family in read if not _told_without(family, tmp_path)]
    assert set(unseen) == set(_NOW_AND_THEN), unseen
