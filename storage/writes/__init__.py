"""What a shard loads, commits and owes, and every other row that is written: orders, leases, kept answers, promotions.

A statement that writes belongs here. Queries that only clients or bulkheads need do not.
"""
