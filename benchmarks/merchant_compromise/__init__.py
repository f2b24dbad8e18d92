"""Average precision where merchants are compromised for weeks and payments tell only time, card, merchant, amount."""
