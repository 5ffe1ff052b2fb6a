"""What is kept: the only home of SQL and of Redis.

PostgreSQL is the authority; Redis changes latency only. Nothing here decides anything about an order. What shards commit is in
``writes``, what is read for clients in ``reads``; beside them is what both need: the driver, the schema, errors and counters.
"""
