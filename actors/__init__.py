"""The actors: order actors, the shards that host them, the router that finds them, and the processes that all of them live in.

The only home of Ray. Rooms, each of which knows those below it only: ``processes``, then ``shard`` and ``routing``, then ``order``,
then ``rpc``; ``runtime.py`` is the driver. Collaborators (storage, messaging, partners) are put together in ``processes`` and nowhere
else.
"""
