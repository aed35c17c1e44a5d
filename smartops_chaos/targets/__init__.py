"""What is attacked: lanes that take an arm, are put back, and tell what happened to them."""
