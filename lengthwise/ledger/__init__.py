"""Every query of the system, by the step it serves. Each function runs in the transaction of its connection.

    submit       a job, its items and shards, written while they arrive
    idempotency  requests that their caller named: each makes one job
    pending      how much waits or runs
    turn         whose shard comes when: the fair queue's tags
    claim        shards of like length for a worker
    lease        a claim's heartbeat, and what is given back of it
    settle       results behind the fence of a lease, and the end of a job
    cancel       cancel, expire and delete a job
    retry        the failed items of an ended job
    read         jobs, their figures and their results, for the caller
    delivery     webhooks that are due, and what came of them
    sweep        what time alone must mend
    urgency      shards whose deadline nears
    key          who may ask, and what
    tenant       tenants and their limits
    rate         requests a minute
    usage        what each key did on each day
    retention    jobs that are forgotten, and their rows removed
    file         uploaded files, in chunks
    file_list    these, and the outputs of batches that are read like files
    batch        batches of the OpenAI surface, and what becomes of each
    validation   batches whose lines are still to be read

Rows are locked in one order everywhere: the tenant before shards, these before jobs, and each in order of id, so that
no two steps wait for each other.
"""
