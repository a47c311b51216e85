"""Every SQL query of the system, by what it serves. Each function runs in the transaction of its connection.

    why/              why a job is not done
      facts             its open shards, what comes before them, workers and webhooks
      judgement         which reason holds, said of facts alone
      validation        why an OpenAI batch has no job yet
      failed_lines      some of the result lines of a job's failed items
    openai/           the OpenAI-compatible surface
      batch             batches: creating, reading, cancelling and expiring them
      file              uploaded files, stored in chunks
      file_list         one list of uploaded files and of the output files of batches
      validation        batches whose input file has not been read yet
    jobs/             what a caller does with a job
      submit            writes a job with its items and shards while they arrive
      arrangement       how items become shards while they arrive, for a submission and for an estimate of one
      sign_of_life      statements between long computations, so that the sweep does not end the session
      idempotency       finds the job that an earlier request with the same idempotency key made
      results           reads results in the caller's order
      source            the rows of a job that was sent as a table
      cancel            cancels, expires and deletes jobs
      search            finds a tenant's jobs by what they are
      retry             reads the failed items of an ended job
      retention         hides jobs past their retention, and removes the rows of hidden ones
      lately            sums over the jobs that ended last
      shape             how long a job's items are, and when they were settled
    accounts/         who may call, and how much
      key               API keys, by their hashes
      tenant            tenants and their limits
      rate              requests a minute
      usage             what each key did with each model on each day
    queue/            the shards that wait or run
      claim             leases shards of like length to one worker
      lease             renews a claim's lease, or gives shards back
      settle            writes results behind the fence of a lease, and ends jobs
      fair_queue        where a tenant's next shard is placed (start-time fair queueing)
      pending           how many tokens and jobs wait or run
      speed             how fast a model works at present
      ahead             what is served before a new job's last item
      open_work         what waits or runs, by priority and model
      work_rate         what all workers did in each of the last intervals
      urgency           raises the priority of jobs whose deadline nears
      sweep             finds and mends what no other step will: expired leases, frozen sessions, missed job ends
    webhooks/         events, from the change that causes them to the record of each attempt
      event             writes an event and its deliveries in the transaction that makes it true
      push              makes pages of results for the endpoints that follow a job
      delivery          claims deliveries that are due, and records each attempt
      delivery_log      lists deliveries, and sends them again
      endpoint          registered webhook endpoints
      sealed_secret     signing secrets, as they are encrypted in their rows
    used by all of these:
      binary_array      arrays as parameters, in Postgres' binary format
      binary_copy       rows of items and results in Postgres' binary COPY format
      gauges            what waits and runs, for the metrics
      job_end           notifies listeners that a job has ended
      job_figures       a job's row, and its figures
      tally             the sums that are a job's figures, and the running totals of large jobs
      store             where a job's items and results are: in the shared tables, or in tables of its own
      scaling           how much work is due when, and which workers are there, for an autoscaler
      schema            whether the database has the tables of this version
      workers           which processes work, as they report themselves

A folder may import from those below it, never from those above; openai, jobs and accounts know nothing of each other.

Every transaction locks rows in one order, so that no two of them wait for each other: the tenant, then shards, then
jobs, each in order of id; and a webhook endpoint before its deliveries. One exception is safe: ``retention`` takes a
deleted job first and then its shards, which no other step locks any more. Tallies and stores have no place in this
order: nobody waits for a locked one.
"""
