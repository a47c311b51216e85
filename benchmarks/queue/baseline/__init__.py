"""The usual ways to put inference behind Celery, written as a competent team would write them, for comparison.

Both take and give the same bodies as the product and count tokens with the same tokenizer at the door; one
transaction writes the job and, by COPY, its items; after the commit one message an item is sent over one pooled
producer. They differ in the task alone. Settings, the cheapest of those that were measured:

- messages in JSON, no result backend, ``ignore_result``, acknowledged late, no events, gossip, mingle or heartbeat,
  log level WARNING, one prefork process, a prefetch of 64 messages;
- a psycopg connection a process, in autocommit mode: every step is one prepared statement and one transaction;
- the task of one item: one SELECT, the engine, and one statement that inserts the result and counts it in the job;
- celery-batches: the same for 64 items at a time.
"""
