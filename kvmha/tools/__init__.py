"""One module for each foreign program: what we say to it, and what we understand of its answer."""
