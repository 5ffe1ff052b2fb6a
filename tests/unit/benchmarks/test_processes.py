import os

import pytest

from benchmarks.processes import Group, Process, Usage, group_of, members

STATE = "/somewhere/state"


def process(pid: int, parent: int, title: str = "x", environment: str = "") -> Process:
    return Process(pid, parent, title, environment, 1.0, 1)


@pytest.mark.parametrize(
    ("title", "group"),
    [
        ("ray::OrderShard", Group.SHARDS),
        ("ray::OrderShard.handle", Group.SHARDS),
        ("ray::Bulkhead.perform", Group.BULKHEADS),
        ("ray::EventBridge", Group.BRIDGE),
        ("ray::Supervisor", Group.SUPERVISOR),
        ("ray::IDLE", Group.RAY),
        ("python -m uvicorn api.composition:service --factory", Group.API),
        ("postgres: ordersvc ordersvc 127.0.0.1(5000) idle", Group.POSTGRES),
        ("/usr/lib/erlang/erts/bin/beam.smp -W w", Group.RABBITMQ),
        ("python -m local.sandbox --port 1", Group.SANDBOX),
        ("python -m local.run", Group.OTHER),
    ],
)
def test_a_title_says_which_part_of_the_service_a_process_is(title: str, group: Group) -> None:
    assert group_of(title) is group


def test_children_of_a_member_are_members() -> None:
    found = members(
        [
            process(10, 1, environment=f"A=b\nORDERSVC_STATE_DIR={STATE}\n"),
            process(11, 10),
            process(12, 11),
            process(13, 1),
        ],
        STATE,
    )
    assert [one.pid for one in found] == [10, 11, 12]


def test_a_server_is_known_by_the_data_folder_in_its_command_line() -> None:
    assert members([process(10, 1, title=f"postgres -D {STATE}/postgres/data")], STATE)


def test_a_client_that_names_the_state_folder_is_no_member() -> None:
    assert not members([process(10, 1, title=f"locust --state-dir {STATE}")], STATE)


def test_a_folder_whose_name_only_begins_alike_is_another() -> None:
    assert not members([process(10, 1, environment=f"ORDERSVC_STATE_DIR={STATE}2\n")], STATE)


def test_the_process_that_measures_is_never_a_member() -> None:
    mine = process(os.getpid(), 1, environment=f"ORDERSVC_STATE_DIR={STATE}\n")
    assert not members([mine, process(11, os.getpid())], STATE)


def test_cpu_is_what_was_spent_since_and_never_negative() -> None:
    before = Usage({Group.API: 5.0, Group.SHARDS: 9.0}, {})
    after = Usage({Group.API: 7.5, Group.SHARDS: 1.0, Group.BRIDGE: 0.5}, {})
    assert after.cpu_since(before) == {Group.API: 2.5, Group.SHARDS: 0.0, Group.BRIDGE: 0.5}
