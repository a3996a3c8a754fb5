"""The checks by what they are of. Each is given a gateway and raises where it differs from its page."""
