"""Numbers -> report: PDF, HTML, figures; JUnit and the verdict for CI."""
