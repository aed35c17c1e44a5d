"""A patch of any object, and its undoing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartops_chaos.kubernetes import objects
from smartops_chaos.schema.healer_kubernetes import Change, ObjectRef

KEYS = st.sampled_from(["a", "b/c", "d~e", "f"])
LEAVES = st.none() | st.booleans() | st.integers(0, 3) | st.just("text")
PATCHES = st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
# What the API server stores has no null.
STORED = st.recursive(
    LEAVES.filter(lambda one: one is not None),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)


def change(patch: dict[str, Any], value: str = "on") -> Change:
    ref = ObjectRef(api="autoscaling/v2", resource="horizontalpodautoscalers", name="shop")
    return Change(object=ref, patch=patch).with_value(value)


def merged(before: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7386, written down once more; what has no place stays null."""
    after = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if isinstance(value, dict) and value and isinstance(after.get(key), dict):
            after[key] = merged(after[key], value)
        elif value is None:
            after.pop(key, None)
        else:
            after[key] = value
    return after


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(KEYS, STORED, max_size=3),
    st.lists(st.dictionaries(KEYS, PATCHES, min_size=1), min_size=1, max_size=3),
)
def test_whatever_arms_have_patched_is_undone_exactly(spec: dict[str, Any], arms: list[dict[str, Any]]) -> None:
    found = {"metadata": {"name": "shop", "labels": {"l": "1"}, "annotations": {"x": "y"}}, "spec": spec}
    now = copy.deepcopy(found)
    for arm in arms:  # one arm after the other, as trials set them
        one = change({"spec": arm})
        now = objects.changed(now, "campaign", objects.wanted(one, now), {})
    back, surprises = objects.restored(now, objects.former(now))
    assert back == found
    assert surprises == []


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(KEYS, STORED, max_size=3), st.dictionaries(KEYS, PATCHES, min_size=1, max_size=3))
def test_the_first_arm_gets_what_a_merge_patch_gives(spec: dict[str, Any], patch: dict[str, Any]) -> None:
    found = {"metadata": {"name": "shop"}, "spec": spec}
    after = objects.changed(found, "campaign", objects.wanted(change({"spec": patch}), found), {})
    assert after["spec"] == merged(spec, patch)


def test_a_probe_of_one_container_is_taken_off_and_put_back() -> None:
    probe = {"httpGet": {"path": "/healthz", "port": 8000}, "periodSeconds": 5}
    containers = [{"name": "proxy", "image": "p"}, {"name": "app", "image": "a", "livenessProbe": probe}]
    found = {"metadata": {"name": "shop"}, "spec": {"template": {"metadata": {}, "spec": {"containers": containers}}}}
    off = {"spec": {"template": {"spec": {"containers": [{"name": "app", "livenessProbe": None}]}}}}
    one = Change(deployment="shop", patch=off)
    after = objects.changed(found, "c", objects.wanted(one, found), {})
    assert after["spec"]["template"]["spec"]["containers"] == [containers[0], {"name": "app", "image": "a"}]
    assert objects.restored(after, objects.former(after))[0]["spec"] == found["spec"]
    with pytest.raises(KeyError, match="there is no other"):
        objects.wanted(
            Change(
                deployment="shop", patch={"spec": {"template": {"spec": {"containers": [{"name": "other", "x": 1}]}}}}
            ),
            found,
        )


def test_defaults_that_the_server_adds_are_no_surprise_and_another_value_is_one() -> None:
    found = {"metadata": {"name": "shop"}, "spec": {}}
    one = change({"spec": {"probe": {"port": 1}, "max": "{value}"}}, "7")
    after = objects.changed(found, "c", objects.wanted(one, found), {})
    assert after["spec"]["max"] == 7  # a value alone is the number that it says
    after["spec"]["probe"]["period"] = 10
    assert objects.restored(after, objects.former(after))[1] == []
    after["spec"]["max"] = 9
    assert objects.restored(after, objects.former(after))[1] == ["at/spec/max was 9, not 7 as we had set it"]


def test_a_secret_s_text_is_stored_as_the_api_server_wants_it() -> None:
    one = Change(secret="playbooks", data={"active": "rules: {value}"}).with_value("none")
    assert objects.wanted(one, {"metadata": {"name": "playbooks"}, "data": {}}) == {"data/active": "cnVsZXM6IG5vbmU="}
    assert one.other == (":v1:secrets", "playbooks")


@pytest.mark.parametrize(
    "wrong",
    [
        {"deployment": "a", "secret": "b", "data": {"x": "y"}},
        {"object": {"api": "v1", "resource": "services", "name": "a"}},
        {"configmap": "a", "patch": {"data": {}}, "data": {"x": "y"}},
        {"object": {"api": "V1", "resource": "services", "name": "a"}, "patch": {"a": 1}},
        {"object": {"api": "v1", "resource": "services", "name": "../a"}, "patch": {"a": 1}},
        {"object": {"api": "v1", "resource": "services", "name": "a", "namespace": "a/b"}, "patch": {"a": 1}},
    ],
)
def test_mistakes(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Change.model_validate(wrong)


def test_a_kind_says_where_an_object_is() -> None:
    ref = ObjectRef(api="core.k8sgpt.ai/v1alpha1", resource="k8sgpts", name="k8sgpt", namespace="k8sgpt")
    assert ref.kind == "k8sgpt:core.k8sgpt.ai/v1alpha1:k8sgpts"
    assert ref.path("shop") == "/apis/core.k8sgpt.ai/v1alpha1/namespaces/k8sgpt/k8sgpts"
    assert ObjectRef.collection(":v1:secrets", "shop") == "/api/v1/namespaces/shop/secrets"
