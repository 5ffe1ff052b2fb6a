import pytest

from benchmarks.plan import USE_MAX, Costs, lives_per_s
from benchmarks.processes import Group

COSTS = Costs.of({Group.SHARDS: 4.0, Group.API: 3.0, Group.POSTGRES: 2.0, Group.RABBITMQ: 1.0, Group.SANDBOX: 50.0})


def test_the_partners_of_a_measurement_cost_nothing_in_production() -> None:
    assert COSTS.everything_ms == 10


def test_one_core_carries_what_its_milliseconds_allow() -> None:
    rate, what = lives_per_s(COSTS, nodes=1, cores_a_node=1)
    assert rate == pytest.approx(1000 * USE_MAX / 10)
    assert what == "the cores that all share"


def test_with_many_nodes_postgresql_sets_the_end() -> None:
    rate, what = lives_per_s(COSTS, nodes=100, cores_a_node=4)
    assert what == "postgres"
    assert rate == pytest.approx(1000 * USE_MAX * 4 / 2.0)
    assert lives_per_s(COSTS, nodes=200, cores_a_node=4)[0] == rate


def test_more_nodes_never_carry_less_once_the_servers_have_their_own() -> None:
    rates = [lives_per_s(COSTS, nodes=nodes, cores_a_node=8)[0] for nodes in range(3, 20)]
    assert rates == sorted(rates)


def test_without_costs_there_is_no_plan() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        lives_per_s(Costs.of({Group.SANDBOX: 1.0}), nodes=1, cores_a_node=1)
