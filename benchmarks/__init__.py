"""Measurements: what the service does with a machine, each beside what one would use instead.

Every comparison is made in one run, its sides interleaved, medians of several rounds.
Nothing here is imported by the service.
"""
