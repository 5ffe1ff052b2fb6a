"""Who is alive: order actors, the shards that host them, the router that finds them, and what watches over all of them.

The only home of Ray. Collaborators (storage, messaging, partners) are handed in by ``runtime.py``; nothing else here makes one.
"""
