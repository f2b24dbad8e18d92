"""The parts that the commands about single records share: the broker, positions in the log, and ranges of a topic."""
