"""Every number that bounds an order, for the HTTP API, the rules and the documents alike; the unit is last in its name.

What operators may want to change is a setting.
"""

from __future__ import annotations

AMOUNT_MAX_MINOR = 2**53 - 1  # what JSON's numbers hold exactly everywhere

# Of an order.
LINES_MAX = 200
QUANTITY_MAX = 10_000
CODES_MAX = 20
METADATA_KEYS_MAX = 50
METADATA_KEY_MAX_CHARACTERS = 40
METADATA_TEXT_MAX_CHARACTERS = 500
METADATA_MAX_BYTES = 8192
STAFF_REFUNDS_MAX = 100  # what an order starts by itself is a few for each payment; staff's tries need a bound

# Of texts.
IDENTIFIER_MAX_CHARACTERS = 128
CODE_MAX_CHARACTERS = 64
NOTE_MAX_CHARACTERS = 500
TEXT_MAX_CHARACTERS = 500
PAYMENT_METHOD_MAX_CHARACTERS = 64
URL_MAX_CHARACTERS = 1000  # behind the scheme

# Of promotions.
FRACTION_MAX_DIGITS = 6
USES_MAX = 2**31 - 1  # PostgreSQL's integer
SKUS_MAX = 1000
