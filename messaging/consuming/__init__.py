"""Events of partners: taken from the inbox within bounds, translated, tried again later, or set aside as dead letters."""
