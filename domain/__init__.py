"""The rules of an order: values and pure functions.

Standard library and msgspec only. No input or output, no clock, no randomness, no await: what a rule needs comes in as an argument.
"""
