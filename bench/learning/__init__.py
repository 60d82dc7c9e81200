"""The benchmark of learned trust: tracks, attacks, baselines, metrics and the report.

Nothing here is part of the product, and nothing of the product may know what is here: the attacks
follow the techniques of MITRE ATT&CK, not the features of the model that they are to try.
"""
