"""The state machine of an order: what happens next, and what is undone when it can't. Pure: no input or output, no clock."""
