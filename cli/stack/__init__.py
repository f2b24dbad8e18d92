"""`cardwatch up`, `down`, `ps` and `logs`: the embedded stack as something that runs until it is stopped."""
