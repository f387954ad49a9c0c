"""Names, ARNs and pages: what is taken and what is refused."""

from __future__ import annotations

import random

import pytest

from harness.asl.values import make_uuid
from harness.cloud.errors import ServiceError
from harness.cloud.stepfunctions.names import (
    ExecutionArn,
    MachineArn,
    activity_name,
    check_name,
    check_role_arn,
    machine_name,
    parse_execution_arn,
    parse_machine_arn,
    resource_kind,
)
from harness.cloud.stepfunctions.pagination import DEFAULT_PAGE, page

PREFIX = "arn:aws:states:us-east-1:123456789012:"


@pytest.mark.parametrize("name", ["a", "A-b_c.d=e+f@g!h'(i)", "x" * 80, "größe"])
def test_names_that_are_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "x" * 81, *("a" + char for char in ' \t<>{}[]?*"#%\\^|~`$&,;:/\x00\x9f\uffff')]
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ServiceError) as caught:
        check_name(name)
    assert (caught.value.code, caught.value.message) == ("InvalidName", f"Invalid Name: '{name}'")


def test_machine_arns() -> None:
    assert parse_machine_arn(f"{PREFIX}stateMachine:m") == MachineArn("m")
    assert parse_machine_arn(f"{PREFIX}stateMachine:m:3") == MachineArn("m", version=3)
    assert parse_machine_arn(f"{PREFIX}stateMachine:m:v3") == MachineArn("m", alias="v3")
    assert [arn.qualified for arn in (MachineArn("m"), MachineArn("m", 3), MachineArn("m", alias="a"))] == [
        False,
        True,
        True,
    ]
    assert machine_name(f"{PREFIX}stateMachine:m:3") == "m"


def test_arns_of_map_states_are_refused_by_name() -> None:
    with pytest.raises(ServiceError, match="label is not supported") as caught:
        parse_machine_arn(f"{PREFIX}stateMachine:m/label")
    assert caught.value.code == "ValidationException"
    assert caught.value.fields == {"reason": "API_DOES_NOT_SUPPORT_LABELED_ARNS"}


def test_activity_arns() -> None:
    assert activity_name(f"{PREFIX}activity:a") == "a"
    for tail in ("activity", "activity:", "activity:a:1", "activity:a b", "stateMachine:a"):
        with pytest.raises(ServiceError) as caught:
            activity_name(PREFIX + tail)
        assert caught.value.code == "InvalidArn"


def test_kinds_of_arns() -> None:
    assert resource_kind(f"{PREFIX}activity:a") == "activity"
    with pytest.raises(ServiceError, match="Invalid ARN prefix: a"):
        resource_kind("a")


def test_execution_arns() -> None:
    assert parse_execution_arn(f"{PREFIX}execution:m:run") == ExecutionArn("execution", "m", "run")
    assert parse_execution_arn(f"{PREFIX}express:m:run:id") == ExecutionArn("express", "m", "run")


@pytest.mark.parametrize(
    ("arn", "message"),
    [
        ("machine", "Invalid Arn: 'Invalid ARN prefix: machine'"),
        ("arn:aws:lambda:us-east-1:123456789012:x", None),
        ("arn:aws:states:us-east-1:12:stateMachine:m", None),
        (f"{PREFIX}execution:m:e", "Invalid Arn: 'Resource type not valid in this context: execution'"),
        (f"{PREFIX}stateMachine", f"Invalid Arn: '{PREFIX}stateMachine'"),
        (f"{PREFIX}stateMachine:", f"Invalid Arn: '{PREFIX}stateMachine:'"),
        (f"{PREFIX}stateMachine:a b", f"Invalid Arn: '{PREFIX}stateMachine:a b'"),
        (f"{PREFIX}stateMachine:a:1:2", f"Invalid Arn: '{PREFIX}stateMachine:a:1:2'"),
    ],
)
def test_machine_arns_that_are_refused(arn: str, message: str | None) -> None:
    with pytest.raises(ServiceError) as caught:
        machine_name(arn)
    assert caught.value.code == "InvalidArn"
    assert caught.value.message == (message or f"Invalid Arn: 'Invalid ARN prefix: {arn}'")


@pytest.mark.parametrize("tail", ["stateMachine:m", "execution:m", "execution:m:e:f", "express:m:e"])
def test_execution_arns_that_are_refused(tail: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_execution_arn(PREFIX + tail)
    assert caught.value.code == "InvalidArn"


def test_role_arns() -> None:
    check_role_arn("arn:aws:iam::123456789012:role/path/name")
    with pytest.raises(ServiceError) as caught:
        check_role_arn("role")
    assert (caught.value.code, caught.value.message) == ("InvalidArn", "Invalid Role Arn: 'role'")


def test_uuids_come_from_the_injected_source() -> None:
    assert make_uuid(random.Random(1)) == make_uuid(random.Random(1))
    assert make_uuid(random.Random(1)) != make_uuid(random.Random(2))
    assert make_uuid(random.Random(1))[14] == "4"


def pages(items: list[int], limit: int, **options: object) -> list[list[int]]:
    found: list[list[int]] = []
    token: str | None = None
    while True:
        chosen, token = page(items, scope="s", limit=limit, token=token, **options)  # type: ignore[arg-type]
        found.append(chosen)
        if token is None:
            return found


def test_pages() -> None:
    assert pages([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert pages([1, 2, 3, 4], 2) == [[1, 2], [3, 4]]
    assert pages([1, 2, 3, 4, 5], 2, newest_first=True) == [[5, 4], [3, 2], [1]]
    assert pages([1, 2, 3, 4, 5], 2, keep=lambda item: item % 2 == 1) == [[1, 3], [5]]
    assert pages([], 2) == [[]]
    assert [len(chosen) for chosen in pages(list(range(DEFAULT_PAGE + 1)), 0)] == [DEFAULT_PAGE, 1]


def test_a_list_may_grow_between_pages() -> None:
    items = [1, 2, 3]
    first, token = page(items, scope="s", limit=2, token=None, newest_first=True)
    items.append(4)
    second, _ = page(items, scope="s", limit=2, token=token, newest_first=True)
    assert (first, second) == ([3, 2], [1])


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_list_may_shrink_between_pages(newest_first: bool) -> None:
    def turn(items: list[int], token: str | None = None) -> tuple[list[int], str | None]:
        return page(
            items, scope="s", limit=2, token=token, newest_first=newest_first, serial=lambda item: item
        )

    items = [1, 2, 3, 4, 5, 6]
    first, token = turn(items)
    assert first == ([6, 5] if newest_first else [1, 2])
    # One that was listed, and the one that would come next.
    rest = [1, 2, 3, 5] if newest_first else [2, 4, 5, 6]
    second, token = turn(rest, token)
    assert second == ([3, 2] if newest_first else [4, 5])
    assert turn(rest, token) == ([1] if newest_first else [6], None)
    assert turn([], token) == ([], None)


@pytest.mark.parametrize("token", ["", "nonsense", "é", "eyJhIjoxfQ==", "WyJzIiwgLTFd", "WyJzIiwgOTld"])
def test_tokens_nobody_gave_out(token: str) -> None:
    with pytest.raises(ServiceError) as caught:
        page([1, 2, 3], scope="s", limit=1, token=token)
    assert (caught.value.code, caught.value.message) == ("InvalidToken", "Invalid Token: 'Invalid token'")


def test_a_token_belongs_to_its_list() -> None:
    _, token = page([1, 2], scope="one", limit=1, token=None)
    with pytest.raises(ServiceError):
        page([1, 2], scope="other", limit=1, token=token)
