"""The item pipelines, in this order: dedupe, normalize, then one of the stores, csv or postgres."""
