"""Rows in the hand-made binary COPY format are read back unchanged."""

from random import Random
from uuid import uuid4

import pytest

from lengthwise import database
from lengthwise.ledger import binary_copy
from lengthwise.settings import Settings
from tests.ledger import sql


@pytest.mark.parametrize("n_rows", [0, 1, 255, 256, 257, 1000])
def test_copied_rows_are_read_back_unchanged(installed: Settings, n_rows: int) -> None:
    random, job = Random(n_rows), uuid4()
    rows = [
        (pos, random.randrange(2**31), random.randrange(2**31), random.randbytes(random.choice([0, 1, 300])))
        for pos in range(n_rows)
    ]
    with database.engine().begin() as connection:
        command = "COPY items (job_id, pos, index, n_tokens, payload) FROM STDIN (FORMAT BINARY)"
        with database.cursor(connection).copy(command) as copy:
            for block in binary_copy.item_blocks(job, rows):
                copy.write(block)
    found = sql("SELECT pos, index, n_tokens, payload FROM items WHERE job_id = :job ORDER BY pos", job=job)
    assert [(*row[:3], bytes(row[3])) for row in found] == rows
