"""From drawn scenes to the starter bundle: lessons, vocabulary, towers, grades, and the files that ship."""
