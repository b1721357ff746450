"""What ``spine-node check`` asks, and what it advises: one module for each kind of thing that can be wrong.

Every answer is one sentence and, where something is to be done, one piece of advice. Neither holds a secret, nor
anything of a patient. Nothing is changed: no table is made, no object is sent.
"""
