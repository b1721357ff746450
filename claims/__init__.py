"""Evidence for claims: what a claim bills, what report and images say of it, what is missing, and the attachment.

A claim's evidence is for a person to judge: nothing here says approved, covered or denied, and what the AI saw alone
never supports a claim.
"""
