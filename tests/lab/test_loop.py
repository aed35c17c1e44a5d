from smartops_chaos.lab.smartops import loop
from smartops_chaos.lab.smartops.loop import Brakes, Signal

RESTART = ("lab", "smartops-erp-simulator", "restart")
SCALE = ("lab", "smartops-erp-simulator", "scale")


def test_an_action_cools_down_only_itself():
    brakes = Brakes()
    assert brakes.cooling_s(RESTART, 1000) is None
    brakes.acted(RESTART, 1000)
    assert brakes.cooling_s(RESTART, 1000 + loop.COOLDOWN_S - 1) == loop.COOLDOWN_S - 1
    assert brakes.cooling_s(SCALE, 1001) is None
    assert brakes.cooling_s(RESTART, 1000 + loop.COOLDOWN_S) is None


def test_the_guardrails_bound_replicas_and_haste():
    brakes = Brakes()
    assert brakes.guardrail(loop.MAX_REPLICAS, 0) == ""
    assert brakes.guardrail(loop.MAX_REPLICAS + 1, 0) == "max_replicas"
    for minute in range(loop.MAX_ACTIONS_PER_HOUR):
        assert brakes.guardrail(None, minute * 60) == ""
        brakes.acted(RESTART, minute * 60)
    assert brakes.guardrail(None, 3599) == "max_actions_per_hour"
    assert brakes.guardrail(None, 3600) == ""


def test_a_signal_names_its_deployment_and_its_fields():
    anomaly = Signal("anomaly", {"service": "erp-simulator", "type": "error", "score": 0.7})
    assert anomaly.deployment == "smartops-erp-simulator"
    assert anomaly.fields == {"anomaly.type": "error", "anomaly.score": 0.7}
    causes = [
        {"svc": "x", "cause": "Service Timeout", "probability": 0.6},
        {"svc": "x", "cause": "y", "probability": 0.4},
    ]
    rca = Signal("rca", {"service": "smartops-other", "rankedCauses": causes})
    assert rca.deployment == "smartops-other"
    assert rca.fields == {"rca.cause": "Service Timeout", "rca.probability": 0.6}
