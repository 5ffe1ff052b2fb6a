"""One order from the envelope to the reply: its mailbox, its actor, what is committed, and what its sender is answered.

All of it is about a single order, whichever shard has it. Which orders are in memory, who owns them, and how messages travel between
processes does not belong here.
"""
