"""Networks read rows of different length on their real tokens alone, in the layout that each of
them can take."""
