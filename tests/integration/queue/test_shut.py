"""A process that ends leaves no connection open, not even one that a late thread gives back."""

from lengthwise import database


def test_a_connection_that_comes_back_late_is_ended(database_url: str) -> None:
    engine = database.connect(database_url)
    with engine.connect() as late, engine.connect() as other:
        held = database.cursor(late).connection
        other.close()
        database.shut(engine)
        late.exec_driver_sql("SELECT 1")
        assert not held.closed
    assert held.closed
