"""Single records of the topics: found, explained, labelled, sent, and sent again."""
