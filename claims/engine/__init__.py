"""The evidence engine: claim, studies, findings and reports in; verdicts, answers, facts and prompts out.

A function of its arguments: no clock, no file, no network. What holds whatever comes in (property tests):
a verdict of SUPPORTS needs a signed report; findings of the AI never better a verdict, never meet a criterion and never
take a prompt away; no code is named that is not on the claim; acuity is never met without a date of onset.
"""

from claims.engine.evaluate import evaluate

__all__ = ["evaluate"]
