"""Input at the edges of every type, in every field of every message, beside good requests whose answers are watched."""
