"""The engines that one would use instead: DBOS and Restate, doing the same five steps durably.

They live in an environment of their own in the cache folder (``./dev bench engine --peers`` installs them); the
programs ``*_sagas.py`` run there, so they import nothing of this repository.
"""
