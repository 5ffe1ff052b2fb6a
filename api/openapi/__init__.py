"""The service's description of itself: what routes say beyond their signatures, the finished document, and the pages that show it."""
