"""Graded exercises of the training document: drawn by learner, checked for form, graded again from bundles."""
