"""What becomes of an item: dedupe, normalize, then one of the stores, csv or postgres."""
