import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.lab.smartops.policy import FIELDS, OPERATORS, Condition, Policy, PolicyError, decide, parse_policies
from smartops_chaos.resources import shipped

RESTART = 'POLICY "a":\n  WHEN anomaly.type == "error"\n  THEN restart(service)\n  PRIORITY 1\n'

texts = st.text(st.characters(codec="ascii", exclude_characters='"\n\r', exclude_categories=("Cc",)), min_size=1)
conditions = st.builds(
    Condition,
    st.sampled_from(FIELDS),
    st.sampled_from(sorted(OPERATORS)),
    st.one_of(texts, st.integers(-999, 999).map(float), st.floats(0, 99).map(lambda x: round(x, 3))),
)
policies = st.lists(
    st.builds(
        lambda name, conditions, replicas, priority: Policy(
            name, tuple(conditions), "scale" if replicas else "restart", replicas, priority
        ),
        texts,
        st.lists(conditions, min_size=1, max_size=3),
        st.none() | st.integers(1, 9),
        st.integers(0, 999),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda policy: policy.name,
)


def write(policy: Policy, gap: str) -> str:
    when = f"{gap}AND{gap}".join(
        f'{c.field} {c.op} "{c.value}"' if isinstance(c.value, str) else f"{c.field}{c.op}{c.value}"
        for c in policy.conditions
    )
    then = f"scale(service, {policy.replicas})" if policy.replicas else "restart( service )"
    return gap.join([f'POLICY "{policy.name}":', "WHEN", when, "THEN", then, f"PRIORITY {policy.priority}", ""])


@given(policies, st.sampled_from([" ", "\n", "\n  # a comment with THEN in it\n\t"]))
def test_what_is_written_is_read(wanted, gap):
    assert list(parse_policies("".join(write(policy, gap) for policy in wanted))) == wanted


@given(st.text())
def test_any_text_is_read_or_refused_with_its_place(text):
    try:
        assert parse_policies(text)
    except PolicyError as error:
        line, column, what = str(error).split(":", 2)
        assert 1 <= int(line) <= text.count("\n") + 1
        assert int(column) >= 1
        assert what.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", '1:1: expected POLICY "name": before the end'),
        ("POLICY a:", "1:1: expected POLICY \"name\":, found 'POLICY a:'"),
        (
            RESTART.replace("anomaly.type", "anomaly.typo"),
            "2:8: there is no field 'anomaly.typo': did you mean anomaly.type?",
        ),
        (RESTART.replace("anomaly.type", "x"), f"2:8: there is no field 'x': use one of {', '.join(FIELDS)}"),
        (
            RESTART.replace("==", "="),
            '2:8: expected a condition such as anomaly.type == "error", found \'anomaly.type = "error"\'',
        ),
        (
            RESTART.replace("THEN", "AN"),
            "3:3: expected THEN, or AND with another condition, found 'AN restart(service)'",
        ),
        (
            RESTART.replace("restart", "reboot"),
            "3:8: expected restart(service) or scale(service, N), found 'reboot(service)'",
        ),
        (
            RESTART.replace("restart", "scale"),
            "3:8: expected restart(service) or scale(service, N), found 'scale(service)'",
        ),
        (RESTART.replace("PRIORITY 1", ""), "5:1: expected PRIORITY and a whole number before the end"),
        (RESTART + RESTART, "5:1: there is a policy 'a' already"),
    ],
)
def test_a_bad_policy_is_refused(text, message):
    with pytest.raises(PolicyError) as refused:
        parse_policies(text)
    assert str(refused.value) == message


def test_the_highest_priority_that_matches_decides():
    rules = parse_policies(
        RESTART
        + 'POLICY "b": WHEN anomaly.type == "error" AND anomaly.score >= 0.5 THEN scale(service, 4) PRIORITY 9\n'
        + 'POLICY "c": WHEN rca.probability > 0.9 THEN restart(service) PRIORITY 99\n'
    )
    assert decide(rules, {"anomaly.type": "error", "anomaly.score": 0.5}).name == "b"
    assert decide(rules, {"anomaly.type": "error", "anomaly.score": 0.4}).name == "a"
    assert decide(rules, {"anomaly.type": "latency", "anomaly.score": 0.9}) is None
    assert decide(rules, {"anomaly.type": 7.0, "rca.probability": "high"}) is None


@pytest.mark.parametrize("kind", ["error", "latency", "resource"])
def test_the_shipped_policy_restarts_on_every_anomaly(kind):
    rules = parse_policies(shipped("matrix", "policies", "default.policy").read_text(encoding="utf-8"))
    assert decide(rules, {"anomaly.type": kind, "anomaly.score": 0.5}).action == "restart"
    assert decide(rules, {"rca.cause": "Service Timeout", "rca.probability": 1.0}) is None
