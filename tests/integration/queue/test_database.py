"""A process that ends leaves no connection open, not even one that a thread returns late."""

from lengthwise import database


def test_a_connection_that_is_returned_late_is_closed(database_url: str) -> None:
    engine = database.connect(database_url)
    with engine.connect() as late, engine.connect() as other:
        held = database.cursor(late).connection
        other.close()
        database.shut(engine)
        late.exec_driver_sql("SELECT 1")
        assert not held.closed
    assert held.closed
