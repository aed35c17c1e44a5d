from tests.plan.conftest import matrix as matrix  # what pytest finds here is a fixture here
