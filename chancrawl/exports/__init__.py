"""Takes data out of a store: tables of rows, in the forms that other tools read, with a description."""
