import dataclasses
import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.lab.lab_target import LabTarget
from smartops_chaos.lab.smartops import detect
from smartops_chaos.lab.smartops.detect import DetectorWatch, ServiceSample, Threshold, Window, ZScore
from smartops_chaos.lab.smartops.exposition import BUCKETS_S, Metrics
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.resources import shipped
from smartops_chaos.targets import kinds
from tests.conftest import until

HEALTHY = Window(requests=80, error_share=0.0, p95_s=0.05, cpu={"a": 0.2, "b": 0.2}, cpu_per_answer_s=0.01)
FAILING = Window(requests=80, error_share=0.3, p95_s=0.16, cpu={"a": 0.3}, cpu_per_answer_s=0.011)
SLOW = Window(requests=80, error_share=0.0, p95_s=0.6, cpu={"a": 0.2, "b": 0.2}, cpu_per_answer_s=0.01)
BUSY = Window(requests=80, error_share=0.4, p95_s=0.7, cpu={"a": 0.8, "b": 0.1}, cpu_per_answer_s=0.04)


def watch(detector=None, warm=HEALTHY):
    watching = DetectorWatch(detector or Threshold())
    for _ in range(detect.WARM_UP_WINDOWS):
        assert not watching.armed
        assert watching.see(warm) is None
    until(lambda: watching.armed)
    return watching


def signals(watching, windows):
    return [finding.kind if (finding := watching.see(window)) else None for window in windows]


FOREST = watch(detect.DETECTORS["isolation-forest"]())


def test_an_anomaly_is_signalled_once_when_it_begins():
    assert signals(watch(), [HEALTHY, FAILING, FAILING, FAILING, FAILING]) == [None, None, "error", None, None]


def test_one_odd_window_is_no_anomaly():
    assert signals(watch(), [FAILING, HEALTHY] * 3) == [None] * 6


def test_the_next_anomaly_needs_three_clean_windows_before_it():
    soon, later = [HEALTHY] * 2 + [SLOW] * 2, [HEALTHY] * 3 + [SLOW] * 2
    assert signals(watch(), [FAILING, FAILING, *soon, *later])[2:] == [None] * 8 + ["latency"]


def test_without_traffic_nothing_is_learnt_and_nothing_signalled():
    idle = Window(requests=9, error_share=1.0, p95_s=5.0, cpu={}, cpu_per_answer_s=0.0)
    watching = DetectorWatch(Threshold())
    assert signals(watching, [idle, None] * 10) == [None] * 20
    assert not watching.armed
    assert signals(watch(), [idle] * 5) == [None] * 5


@pytest.mark.parametrize(
    "detector", [make for make in detect.DETECTORS.values() if make], ids=lambda make: make.__name__
)
def test_every_detector_sees_each_kind_of_trouble(detector):
    for window in (FAILING, SLOW, BUSY):
        finding = [watching.see(window) for watching in [watch(detector())] for _ in range(2)][-1]
        assert finding is not None
        assert 0.5 < finding.score <= 1
    assert signals(watch(detector()), [HEALTHY] * 20) == [None] * 20


def test_the_threshold_says_what_is_worst():
    kinds = [Threshold().judge(window).kind for window in (FAILING, SLOW, BUSY)]
    assert kinds == ["error", "latency", "error"]
    assert Threshold().judge(Window(80, 0.0, 0.1, {"a": 0.9}, 0.01)).kind == "resource"


def test_the_z_score_measures_from_what_it_learnt():
    usually_slow = Window(requests=80, error_share=0.0, p95_s=0.6, cpu={"a": 0.2}, cpu_per_answer_s=0.01)
    assert signals(watch(ZScore(), usually_slow), [usually_slow] * 5) == [None] * 5
    assert signals(watch(ZScore()), [usually_slow] * 2) == [None, "latency"]


def test_the_forest_measures_from_what_it_learnt_and_minds_only_what_is_worse():
    make = detect.DETECTORS["isolation-forest"]
    usually_slow = Window(requests=80, error_share=0.0, p95_s=0.6, cpu={"a": 0.2}, cpu_per_answer_s=0.01)
    assert signals(watch(make(), usually_slow), [usually_slow] * 5) == [None] * 5
    assert signals(watch(make()), [usually_slow] * 2) == [None, "latency"]
    better = Window(requests=80, error_share=0.0, p95_s=0.0, cpu={"a": 0.0}, cpu_per_answer_s=0.01)
    assert signals(watch(make(), usually_slow), [better] * 5) == [None] * 5


@given(st.floats(0, 0.02), st.floats(0.03, 0.08), st.floats(0.14, 0.3))
def test_the_forest_lets_a_healthy_minutes_spread_pass(errors, p95_s, cpu):
    window = Window(requests=80, error_share=errors, p95_s=p95_s, cpu={"a": cpu}, cpu_per_answer_s=0.01)
    assert FOREST.see(window) is None


def test_only_the_healer_that_uses_it_loads_scikit_learn():
    program = (
        "import sys; import smartops_chaos.lab.platform.node, smartops_chaos.lab.smartops.healer, "
        "smartops_chaos.trial.child, smartops_chaos.run.campaign; sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_scikit_learn_a_run_is_refused_with_the_hint(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)  # as importlib sees a package that is not there
    plan = load_plan(shipped("matrix", "nightly.yaml"))
    [(what, hint)] = kinds.check(plan, LabTarget(1, 2))
    assert what == "the detector isolation-forest needs scikit-learn"
    assert hint == "pip install 'smartops-chaos[forest]'"
    others = load_plan(shipped("matrix", "nightly.yaml"), only=("model=off,zscore",))
    assert kinds.check(others, LabTarget(1, 2)) == []


def test_none_detects_nothing():
    assert detect.DETECTORS["none"] is None


@pytest.mark.parametrize(
    ("window", "cause"),
    [
        (BUSY, "Resource Saturation"),
        (FAILING, "Service Timeout"),
        (SLOW, "Dependency Latency"),
        (dataclasses.replace(FAILING, memory_most=0.8), "Resource Saturation"),
        (HEALTHY, "Unknown Failure"),
    ],
)
def test_the_first_cause_fits_what_is_seen(window, cause):
    assert detect.diagnose(window)[0][0] == cause


@given(
    st.builds(
        Window,
        st.floats(0, 1e6),
        st.floats(0, 1),
        st.floats(0, 5),
        st.dictionaries(st.text(), st.floats(0, 64), max_size=3),
        st.floats(0, 10),
    )
)
def test_a_diagnosis_ranks_all_causes(window):
    ranked = detect.diagnose(window)
    assert len({cause for cause, _ in ranked}) == 4
    assert sum(probability for _, probability in ranked) == pytest.approx(1)
    assert [p for _, p in ranked] == sorted((p for _, p in ranked), reverse=True)


@given(st.lists(st.floats(0.001, 4.9), min_size=1, max_size=200), st.floats(0.05, 0.95))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(seconds, q):
    counts = [sum(s <= bound for s in seconds) for bound in (*BUCKETS_S, float("inf"))]
    true = sorted(seconds)[max(0, -int(-q * len(seconds) // 1) - 1)]
    upper = next(bound for bound in BUCKETS_S if true <= bound)
    lower = max([0.0, *(bound for bound in BUCKETS_S if bound < upper)])
    assert lower <= detect.quantile(q, counts) <= upper


def test_a_quantile_of_nothing_is_zero_and_beyond_all_buckets_is_the_last():
    assert detect.quantile(0.95, [0.0] * (len(BUCKETS_S) + 1)) == 0
    assert detect.quantile(0.95, [0.0] * len(BUCKETS_S) + [3.0]) == BUCKETS_S[-1]


def sample(at_s, requests, errors=0, slow=0, **cpu_s):
    fast = float(requests - slow)
    buckets = tuple(fast if bound < 0.5 else float(requests) for bound in (*BUCKETS_S, float("inf")))
    return ServiceSample(at_s, requests, errors, buckets, cpu_s)


def test_a_window_is_the_difference_of_its_ends():
    samples = [sample(at / 2, 20 * at, errors=at, a=0.1 * at, b=0.2 * at) for at in range(8)]
    samples[-1] = sample(3.5, 140, errors=7, slow=40, a=0.7, b=1.4, new=9.0)
    seen = detect.window(samples, 2.0)
    assert seen.requests == 80
    assert seen.error_share == pytest.approx(4 / 80)
    assert seen.cpu == pytest.approx({"a": 0.2, "b": 0.4})
    assert seen.cpu_per_answer_s == pytest.approx(1.2 / 76)
    assert 0.4 <= seen.p95_s <= 0.5


def test_the_memory_of_a_killed_container_is_remembered_for_a_window():
    samples = [sample(at / 2, 20 * at) for at in range(8)]
    samples[4] = dataclasses.replace(samples[4], memory={"a": 0.9})
    samples[1] = dataclasses.replace(samples[1], memory={"a": 1.0})
    assert detect.window(samples, 1.0).memory_most == 0.9


def test_one_sample_is_no_window():
    assert detect.window([sample(0, 0)], 2.0) is None
    assert detect.window([sample(0, 0), sample(9, 90)], 2.0) is None


def test_a_sample_is_read_from_the_real_expositions():
    gateway, node = Metrics(), Metrics()
    for code, seconds in itertools.product(("200", "404", "503"), (0.02, 0.2)):
        gateway.inc("gateway_requests_total", code=code)
        gateway.observe("gateway_request_duration_seconds", seconds)
    node.set_counter("container_cpu_usage_seconds_total", 1.5, pod="erp-1", container="erp")
    node.set_counter("container_cpu_usage_seconds_total", 2.5, pod="other-1", container="other")
    for pod, limit in (("erp-1", 400), ("erp-2", 0)):
        node.set("container_memory_working_set_bytes", 100, pod=pod, container="erp")
        node.set("container_spec_memory_limit_bytes", limit, pod=pod, container="erp")
    seen = detect.sample(7.0, gateway.render(), node.render(), "erp")
    assert (seen.at_s, seen.requests, seen.errors, seen.cpu_s) == (7.0, 6, 2, {"erp-1": 1.5})
    assert seen.memory == {"erp-1": 0.25}
    assert (seen.buckets[0], seen.buckets[1], seen.buckets[-1]) == (0, 3, 6)
