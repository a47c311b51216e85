"""The baselines: two usual ways to put inference behind Celery, written as a competent team would write them.

Both have the same request and response bodies as lengthwise, and both count tokens in the API with the same tokenizer.
One transaction writes the job and, with COPY, its items. After the commit, one pooled producer sends one message per
item. The baselines differ only in the task. Their settings are the cheapest of those that were measured:

- messages in JSON, no result backend, ``ignore_result``, late acknowledgement, no events, gossip, mingle or heartbeat,
  log level WARNING, one prefork process, a prefetch of 64 messages;
- one psycopg connection per process in autocommit mode: every step is one prepared statement and one transaction;
- the task for one item: one SELECT, the engine, and one statement that inserts the result and counts it in the job;
- celery-batches: the same for 64 items at a time.
"""
