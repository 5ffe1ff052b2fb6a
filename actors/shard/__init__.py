"""A shard: the orders that one process owns and has in memory, and what they share.

Partitions, loading, deadlines, reference data, calls to partners, and what waits. How a shard becomes a process of its own does not
belong here, and neither do the rules of an order.
"""
