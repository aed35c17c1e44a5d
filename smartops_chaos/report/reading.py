"""How to read this report: its twelve words, a line each."""

from __future__ import annotations

from smartops_chaos.report.document import Facts, Paragraph, Section

TERMS = (
    ("Arm", "A detector model with a policy set: what is compared. The baseline is the arm that the others are held "
            "against, most often no healer at all."),
    ("Scenario, trial", "A fault under a load; one repeat of it in one arm. A block holds one trial of each arm, in "
                        "random order."),
    ("Horizon τ", "The time after which a person would have to step in. A trial that has not recovered by then counts "
                  "with all of τ; statisticians call it censored."),
    ("MTTR", "The mean time to recover over all trials, with τ for those that never did (RMST). No trial is "
             "left out for "
             "its result."),
    ("Interval", "What the trials leave open: values outside are ruled out at the stated level (95 % means: wrong in 1 "
                 "of 20). Wide means: too few trials."),
    ("Proven, missed", "If the target were not met, a result this good would come in fewer than 1 of 40 campaigns. "
                       "Missed is the same the other way round."),
    ("Observed above, below", "Where the estimate lies. Chance is not ruled out, so it proves nothing."),
    ("Trivial, undecidable", "The target is met whatever the healer does; nothing can be said, and the reason stands "
                             "beside it."),
    ("Healed, platform", "Who ended the outage: an action of the healer, or what the platform does by itself, "
                         "such as a "
                         "restart. Both count as ended without a person."),
    ("Holm", "The correction for many arms: the more are judged, the more each has to show, so that luck does not "
             "grow."),
    ("Kaplan-Meier curve", "The share of trials that have not recovered yet. The lower and the further left, the "
                           "better; the number at risk says how many trials still tell."),
    ("Calibration", "Trials in which we end the fault ourselves at a known second. How far the measured recovery is "
                    "off is the error of the instrument."),
)  # fmt: skip


def section() -> Section:
    lead = "Page 1 is the answer. What follows says why; the appendix has each fault, each trial and the method."
    return Section("reading", "How to read this report", (Paragraph(lead), Facts(TERMS)))
