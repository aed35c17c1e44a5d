"""Wing: what a campaign has shown, as a statement that others verify: in-toto, signed in a DSSE envelope."""
