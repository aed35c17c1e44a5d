"""What the driver `proxy` decides by itself: which Services it refuses, and what counts as the effect asked for."""

from __future__ import annotations

from typing import Any

import pytest

from smartops_chaos.kubernetes import driver_proxy
from smartops_chaos.kubernetes.driver_proxy import differences, in_words, proxy_name, rights
from smartops_chaos.model import FaultPart

PART = FaultPart("network-delay", "network", True, {}, {})
PORT = {"port": 8000, "protocol": "TCP"}
MEASURED: dict[str, Any] = {"exchanges": 1000, "delay": 0.0004, "loss": 0.0, "reset": 0.0, "passed": 1000}


def refused(**spec: Any) -> str:
    body = {"selector": {"app": "erp"}, "ports": [PORT], "clusterIP": "10.96.0.7", **spec}
    found = driver_proxy._refusals({"metadata": {"name": "erp"}, "spec": body})
    return " ".join(what for what, _ in found)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"clusterIP": "None"}, "headless"),
        ({"selector": {}}, "selects no pods"),
        ({"type": "ExternalName", "selector": None}, "selects no pods"),
        ({"ports": [PORT, {"port": 53, "protocol": "UDP"}]}, "ports that are UDP"),
        ({"sessionAffinity": "ClientIP"}, "session affinity"),
        ({"internalTrafficPolicy": "Local"}, "caller's own node"),
        ({"externalTrafficPolicy": "Local"}, "caller's own node"),
    ],
)
def test_a_service_that_no_proxy_can_stand_for_is_refused_in_words(spec: dict[str, Any], why: str) -> None:
    assert why in refused(**spec)


def test_several_ports_are_carried() -> None:
    assert not refused(ports=[PORT, {"port": 9000}], sessionAffinity="None", internalTrafficPolicy="Cluster")


@pytest.mark.parametrize(
    ("asked", "measured", "so"),
    [
        ({"delay": 0.4}, {"delay": 0.419}, True),
        ({"delay": 0.4}, {"delay": 0.43}, False),
        ({"delay": 0.4}, {"delay": None}, False),
        ({"delay": 0.02}, {"delay": 0.029}, True),
        ({"loss": 0.3}, {"loss": 0.315}, True),
        ({"loss": 0.3}, {"loss": 0.33}, False),
        ({"loss": 0.3}, {}, False),
        ({}, {"loss": 0.05}, False),
        ({"reset": 0.2}, {"reset": 0.2}, True),
        ({"reset": 0.2}, {}, False),
        ({"rate": 1000}, {"rate": 1090.0}, True),
        ({"rate": 1000}, {"rate": 2000.0}, False),
        ({"cut": True}, {"passed": 0, "delay": None, "loss": 1.0}, True),
        ({"cut": True}, {}, False),
    ],
)
def test_what_is_measured_is_held_against_what_was_asked(
    asked: dict[str, Any], measured: dict[str, Any], so: bool
) -> None:
    assert (not list(differences(asked, MEASURED | measured))) is so


def test_what_was_measured_is_told_in_words() -> None:
    assert in_words(MEASURED | {"delay": 0.401, "loss": 0.1, "passed": 998}) == (
        "1000 exchanges, delay 401 ms, loss 10.0%, 998 arrived in time"
    )


def test_the_runner_has_every_right_that_it_gives_the_proxy() -> None:
    """Or the API server refuses the role as an escalation. Listing pods and Deployments is in every plan's rights."""
    held = {(one.resource, verb) for one in rights("prepare", "n", "erp", "why", PART) for verb in one.verbs}
    held |= {("pods", "list"), ("pods", "watch"), ("deployments", "list"), ("deployments", "watch")}
    _, role, _ = driver_proxy._account("n", proxy_name("erp"), "erp")
    given = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert given <= held
    assert rights("trouble", "n", "erp", "why", PART) == []
