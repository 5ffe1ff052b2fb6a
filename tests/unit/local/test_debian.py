from local.debian import wanted

BARE = """\
Inst libc6 (2.36-9 Debian:12 [amd64])
Inst erlang-base (1:25.2.3 Debian:12 [amd64])
Inst erlang-os-mon (1:25.2.3 Debian:12 [amd64])
Inst socat (1.7.4.4-2 Debian:12 [amd64])
Inst rabbitmq-server (3.10.8-1.1 Debian:12 [all])
Conf erlang-base (1:25.2.3 Debian:12 [amd64])
"""
HERE = """\
Inst logrotate (3.21.0-1 Debian:12 [amd64])
Inst erlang-base (1:25.2.3 Debian:12 [amd64])
Inst libwrap0 (7.6.q-32 Debian:12 [amd64])
Inst rabbitmq-server (3.10.8-1.1 Debian:12 [all])
"""


def test_all_of_erlang_is_fetched_and_only_those_libraries_that_are_missing_here() -> None:
    assert wanted(BARE, HERE) == ["erlang-base", "erlang-os-mon", "libwrap0", "rabbitmq-server"]


def test_erlang_is_fetched_as_a_whole_where_a_part_of_it_is_installed() -> None:
    assert wanted(BARE, "") == ["erlang-base", "erlang-os-mon", "rabbitmq-server"]


def test_a_failed_simulation_names_nothing() -> None:
    assert wanted("E: Unable to locate package rabbitmq-server\n", "") == []
