"""What goes in and out: bodies, queries, ids in paths, documents that are answered, and who sees what of them.

Shapes only: nothing here knows a route, and nothing is looked up.
"""
