"""Fields of objects: what was set can be put back exactly, whatever happened in between."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.kubernetes import objects
from smartops_chaos.kubernetes.objects import CAMPAIGN, FORMER, RESTARTED, changed, former, get, merge_patch, restored
from smartops_chaos.schema.healer_kubernetes import Change

Json = dict[str, Any]


def _deployment() -> Json:
    return {
        "metadata": {"name": "erp", "annotations": {"team": "a"}, "labels": {"app": "erp"}},
        "spec": {
            "replicas": 2,
            "template": {
                "metadata": {"labels": {"app": "erp"}},
                "spec": {
                    "containers": [
                        {
                            "name": "main",
                            "image": "erp:1",
                            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)/2"}],
                        },
                        {"name": "side", "image": "side:1", "args": ["--fast"]},
                    ]
                },
            },
        },
    }


def _apply(found: Json, patch: Json) -> Json:
    """RFC 7386, as the API server does it."""
    after = copy.deepcopy(found)
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, dict) and isinstance(after.get(key), dict):
            after[key] = _apply(after[key], value)
        else:
            after[key] = value
    return after


def _bare(found: Json) -> Json:
    """Without mappings that are empty: to the API server they are the same as none."""
    if isinstance(found, dict):
        return {key: _bare(value) for key, value in found.items() if value != {}}
    return found


_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "replicas": st.integers(0, 5),
    "env/main/A": st.sampled_from([{"name": "A", "value": "9"}, {"name": "A"}]),
    "env/main/NEW": st.just({"name": "NEW", "value": "x"}),
    "env/side/C": st.just({"name": "C", "value": "y"}),
    "image/main": st.just("erp:2"),
    "args/side": st.sampled_from([["--slow"], None]),
    "args/main": st.just(["run"]),
    "annotation/smartops.io/level": st.just("3"),
    RESTARTED: st.text("0123456789:TZ-", min_size=1, max_size=20),
}
_VALUES = st.fixed_dictionaries({}, optional=_FIELDS)


@given(arms=st.lists(_VALUES, min_size=1, max_size=4))
def test_any_series_of_changes_is_put_back_exactly(arms: list[Json]) -> None:
    found = _deployment()
    for values in arms:
        after = _apply(found, merge_patch(found, changed(found, "quick-1", values, {})))
        for field, value in values.items():
            assert get(after, field) == value
        untouched = [field for field in former(after) if field not in values]
        assert all(get(after, field) == get(_deployment(), field) for field in untouched)
        found = after
    last, surprises = restored(found, former(found))
    assert _bare(_apply(found, merge_patch(found, last))) == _deployment()
    assert surprises == []


def test_an_object_says_whose_it_is_and_what_it_was() -> None:
    after = changed(_deployment(), "a campaign/with: any name", {"replicas": 0}, {})
    assert after["metadata"]["labels"] == {"app": "erp", CAMPAIGN: "a-campaign-with--any-name"}
    assert json.loads(after["metadata"]["annotations"][FORMER]) == {"replicas": {"was": 2, "set": 0}}


def test_what_somebody_else_changed_is_told_and_only_our_fields_go_back() -> None:
    after = changed(_deployment(), "c", {"replicas": 0, "env/main/A": {"name": "A", "value": "9"}}, {})
    after["spec"]["replicas"] = 4
    after["metadata"]["annotations"]["team"] = "b"
    last, surprises = restored(after, former(after))
    assert last["spec"]["replicas"] == 2
    assert get(last, "env/main/A") == {"name": "A", "value": "1"}
    assert last["metadata"]["annotations"] == {"team": "b"}
    assert surprises == ["replicas was 4, not 0 as we had set it"]


def test_an_object_in_which_nothing_was_set_is_left_alone() -> None:
    """Not even an empty mapping is added: that would need the right to patch it."""
    bare = {"metadata": {"name": "policies"}, "data": {"a": "1"}}
    after, surprises = restored(bare, {})
    assert objects.merge_patch(bare, after) == {}
    assert surprises == []


def test_the_ledger_stands_in_for_an_annotation_that_somebody_removed() -> None:
    noted = {"replicas": {"was": 2, "set": 0}}
    found = _deployment()
    found["spec"]["replicas"] = 0
    assert former(changed(found, "c", {"replicas": 1}, noted))["replicas"] == {"was": 2, "set": 1}


def test_a_container_that_is_gone_is_no_reason_to_leave_the_rest() -> None:
    after = changed(_deployment(), "c", {"replicas": 0, "image/side": "side:2"}, {})
    del after["spec"]["template"]["spec"]["containers"][1]
    last, surprises = restored(after, former(after))
    assert last["spec"]["replicas"] == 2
    assert surprises == ["image/side is not there any more"]


def test_a_change_of_the_healer_file_names_fields() -> None:
    change = Change(deployment="erp", env={"A": "{value}", "B": ""}, args=("--{value}",), replicas=3).with_value("z")
    assert objects.wanted(change, _deployment()) == {
        "replicas": 3,
        "env/main/A": {"name": "A", "value": "z"},
        "env/main/B": {"name": "B"},
        "args/main": ["--z"],
    }
    with pytest.raises(KeyError, match="erp has no container other"):
        objects.wanted(Change(deployment="erp", container="other", image="x"), _deployment())
