"""Measure the filters, the models and their pictures: figures with intervals, gates, reports.

An evaluation returns an `EvalResult`; `gates` judges its figures, `report` draws it as a page.
"""
