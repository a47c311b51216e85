"""The suite's own servers: each test has its own migrated database and an empty broker."""

import psycopg
import pytest

from lengthwise.settings import Settings
from tests.servers import redis_client


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_starts_with_an_empty_database(database_url: str, redis_url: str, turn: int) -> None:
    with psycopg.connect(database_url) as connection, redis_client(redis_url) as client:
        connection.execute("CREATE TABLE of_this_test ()")
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
        assert client.dbsize() == 0
        client.set("of_this_test", turn)


def test_settings_name_the_tests_own_servers(installed: Settings, database_url: str, redis_url: str) -> None:
    assert (installed.database_url, installed.redis_url) == (database_url, redis_url)
