"""What is read for clients and for bulkheads: lists, single orders, statistics, and copies of reference data.

Nothing here changes an order, and nothing in ``storage.writes`` needs it.
"""
