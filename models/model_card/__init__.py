"""Model card of a detector, a page of Markdown for those who validate it (Mitchell et al. 2019).

Every figure comes from the files of the model, its training set, the policy and the bundle of its verdict.
"""
