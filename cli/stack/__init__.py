"""`cardwatch up`, `down`, `ps` and `logs`: the embedded stack in the background."""
