"""How much fraud of each typology is found, with and without the features that look beyond the card."""
