"""The partner sandbox: ProductSvc, PaymentSvc and UserSvc in one process, for development, tests and load tests only.

It keeps the partners' contracts word for word, remembers money and stock across restarts, and misbehaves on demand:
delays, errors, answers that never come, events before answers. It is no part of the service, which never imports it;
it listens on loopback only and asks nobody who they are. Never point a real shop at it. See
`local/sandbox/__main__.py` for how to run it and `local/sandbox/injected_faults.py` for how to make it misbehave.
"""
