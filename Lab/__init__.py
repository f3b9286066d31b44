"""The lab: a server made of software, for running the real thing on and testing it as a whole."""
