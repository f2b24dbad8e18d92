"""What the commands about single records share: the broker."""
