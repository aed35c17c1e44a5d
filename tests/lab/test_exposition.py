from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.lab.smartops.exposition import BUCKETS_S, Metrics, parse

names = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
values = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(names, st.text(), max_size=4), values)
def test_what_is_rendered_is_read(labels, value):
    metrics = Metrics()
    metrics.set("a_gauge", value, **{f"l_{name}": text for name, text in labels.items()})
    expected = tuple(sorted((f"l_{name}", text) for name, text in labels.items()))
    assert parse(metrics.render()) == {("a_gauge", expected): value}


def test_a_labelled_counter_is_absent_until_its_first_use():
    metrics = Metrics()
    assert parse(metrics.render()) == {}
    metrics.inc("hits_total", kind="a")
    metrics.inc("hits_total", 2, kind="a")
    assert parse(metrics.render()) == {("hits_total", (("kind", "a"),)): 3}


def test_a_histogram_counts_up_to_each_bound():
    metrics = Metrics()
    for seconds in (BUCKETS_S[0], BUCKETS_S[0] * 1.01, 100.0):
        metrics.observe("took_seconds", seconds)
    read = parse(metrics.render())
    assert [read["took_seconds_bucket", (("le", str(bound)),)] for bound in BUCKETS_S[:2]] == [1, 2]
    assert read["took_seconds_bucket", (("le", "+Inf"),)] == read["took_seconds_count", ()] == 3
    assert read["took_seconds_sum", ()] > 100
