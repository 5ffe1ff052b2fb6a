"""What is kept: the only home of SQL and of Redis.

PostgreSQL is the authority; Redis changes latency only. Nothing here decides anything about an order.
"""
