"""Records -> numbers: pure functions on a tidy table of trials.

`table` reads the trials, `cells` groups them (a cell is one scenario in one arm), `summarise` makes the Summary of
them.

Conventions of all functions here:

- `alpha` is one-sided, 0.025 unless the plan says otherwise. A test compares its p with alpha. An interval is
  two-sided at the confidence level 1 - 2 alpha, 95 %, so that its lower end and the test agree (scipy calls that
  `confidence_level`).
- Fractions are 0 to 1. Durations are seconds since the injection, cut at the horizon tau: a trial that did not recover
  has the time tau, one whose service was never bad has the time 0.
- None, or NaN inside an array, means that a number cannot be given. It is never 0.
- A mean over scenarios weights the scenarios, not the trials, so an uneven number of repeats does not shift it.
"""
